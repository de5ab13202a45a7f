// A page that waits for a payment: ask now and then whether it has come, and go on to it at once. Of the member's own
// code every three seconds; where somebody stands at a store's till, more often (data-every, in milliseconds).
// Without this script the page renews itself (its Refresh header), and says the same a little later.
(() => {
  const { status, every } = document.querySelector("[data-status]").dataset;
  const ask = async () => {
    try {
      const answer = await fetch(status, { cache: "no-store" });
      const { onward } = answer.ok ? await answer.json() : {};
      if (onward) location.replace(onward);
    } catch {
      // the line is bad; the next time asks again
    }
  };
  setInterval(() => document.hidden || ask(), Number(every ?? 3000));
})();

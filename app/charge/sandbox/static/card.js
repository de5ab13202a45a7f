// Shows the brand and groups the digits while a card number is typed; keeps the button from being pressed twice.
// The page works without it.
const form = document.getElementById("card-form");
const number = document.getElementById("number");
const output = document.getElementById("brand");
const brands = JSON.parse(form.dataset.brands);

const digitsOf = (text) => text.normalize("NFKC").replace(/[^0-9]/g, "");
const brandOf = (digits) => Object.keys(brands).find((name) => brands[name].some((start) => digits.startsWith(start)));
const grouped = (digits, brand) => {
  const sizes = { amex: [4, 6, 5], diners: [4, 6, 4] }[brand] || [4, 4, 4, 4, 3];
  const groups = [];
  for (let at = 0, index = 0; at < digits.length && index < sizes.length; at += sizes[index], index += 1) {
    groups.push(digits.slice(at, at + sizes[index]));
  }
  return groups.join(" ");
};

function show() {
  const brand = brandOf(digitsOf(number.value));
  const name = brand ? form.getAttribute(`data-name-${brand}`) : "";
  if (output.textContent !== name) output.textContent = name;
}

number.addEventListener("input", (event) => {
  const atEnd = number.selectionStart === number.value.length;
  if (atEnd && !event.isComposing) {
    const digits = digitsOf(number.value);
    number.value = grouped(digits, brandOf(digits));
  }
  show();
});
form.addEventListener("submit", () => {
  const button = form.querySelector("button[type=submit]");
  setTimeout(() => {
    button.disabled = true;
    button.textContent = button.dataset.busy;
  });
});
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
show();

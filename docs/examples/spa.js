// Profile spa: a page that runs in the browser alone. Its own address is the registered redirect URI.
const { kumiai, client } = document.documentElement.dataset;
const redirectUri = location.origin + location.pathname;
const base64url = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)))
  .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));
const say = (text) => { document.querySelector("#said").textContent = text; };
const discovered = fetch(`${kumiai}/.well-known/openid-configuration`).then((answer) => answer.json());
let token; // in memory only: what is in storage, any script of this origin can read

document.querySelector("#connect").addEventListener("click", async () => {
  const [state, verifier] = [random(), random()];
  const known = await discovered;
  sessionStorage.setItem("asked", JSON.stringify({ state, verifier })); // until the answer, in this tab
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  location.assign(`${known.authorization_endpoint}?${new URLSearchParams({
    response_type: "code", client_id: client, redirect_uri: redirectUri, scope: "openid profile balance", state,
    code_challenge: base64url(digest), code_challenge_method: "S256",
  })}`);
});

async function answered(back) {
  const known = await discovered;
  const asked = JSON.parse(sessionStorage.getItem("asked") ?? "{}");
  sessionStorage.removeItem("asked"); // good for one answer
  history.replaceState(null, "", redirectUri); // the code does not stay in the address bar
  if (!asked.state || back.get("state") !== asked.state || back.get("iss") !== known.issuer) return say("Not our question.");
  if (back.has("error")) return say(`Not connected: ${back.get("error")}`);
  const form = { grant_type: "authorization_code", client_id: client, code: back.get("code"), redirect_uri: redirectUri };
  const answer = await fetch(known.token_endpoint, {
    method: "POST", body: new URLSearchParams({ ...form, code_verifier: asked.verifier }),
  });
  token = await answer.json();
  if (!answer.ok) return say(`${token.error}: ${token.error_description}`);
  const headers = { Authorization: `Bearer ${token.access_token}` };
  const member = await (await fetch(known.userinfo_endpoint, { headers })).json();
  if (!token.scope.split(" ").includes("balance")) return say(`Hello ${member.name}, you keep your balance to yourself.`);
  const wallets = await (await fetch(`${kumiai}/v1/wallets`, { headers })).json();
  return say(`Hello ${member.name}, you have ¥${wallets.total_yen}, and you allow: ${token.scope}`);
}

const back = new URLSearchParams(location.search);
if (back.has("state")) await answered(back);

// The device grant: a screen without a keyboard. Node 20. The client has the profile native (or web).
import { setTimeout as sleep } from "node:timers/promises";

const { KUMIAI_URL, CLIENT_ID } = process.env;
const known = await (await fetch(`${KUMIAI_URL}/.well-known/openid-configuration`)).json();
const post = async (url, form) => (await fetch(url, { method: "POST", body: new URLSearchParams(form) })).json();

const asked = await post(known.device_authorization_endpoint, { client_id: CLIENT_ID, scope: "openid balance" });
if (asked.error) throw new Error(`${asked.error}: ${asked.error_description}`);
console.log(`Open ${asked.verification_uri} and type ${asked.user_code}`);
console.log(`Or scan this: ${asked.verification_uri_complete}`);

const form = {
  client_id: CLIENT_ID, device_code: asked.device_code, grant_type: "urn:ietf:params:oauth:grant-type:device_code",
};
let token, interval = asked.interval;
do {
  await sleep(interval * 1000);
  token = await post(known.token_endpoint, form);
  if (token.error === "slow_down") interval += 5;
} while (["authorization_pending", "slow_down"].includes(token.error));
if (token.error) throw new Error(`not connected: ${token.error}`); // access_denied, expired_token

console.log(`Allowed: ${token.scope}`);
if (token.scope.split(" ").includes("balance")) {
  const headers = { Authorization: `Bearer ${token.access_token}` };
  console.log(`Total: ${(await (await fetch(`${KUMIAI_URL}/v1/wallets`, { headers })).json()).total_yen} yen`);
}

// Profile native: a program on the member's own machine, without a secret. Node 20: `node native.mjs`.
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";

const { KUMIAI_URL, CLIENT_ID } = process.env;
const known = await (await fetch(`${KUMIAI_URL}/.well-known/openid-configuration`)).json();
const [state, verifier] = [0, 0].map(() => randomBytes(32).toString("base64url"));

const server = createServer();
server.listen(0, "127.0.0.1"); // http://127.0.0.1/callback is registered, the port is free (RFC 8252)
await once(server, "listening");
const redirectUri = `http://127.0.0.1:${server.address().port}/callback`;
const asked = new URLSearchParams({
  response_type: "code", client_id: CLIENT_ID, redirect_uri: redirectUri, scope: "openid profile balance", state,
  code_challenge: createHash("sha256").update(verifier).digest("base64url"), code_challenge_method: "S256",
});
console.log(`Open this: ${known.authorization_endpoint}?${asked}`);

const answer = await new Promise((resolve) => server.on("request", (request, response) => {
  const url = new URL(request.url, redirectUri);
  const ours = url.pathname === "/callback";
  response.writeHead(ours ? 200 : 404, { Connection: "close" }).end("Please close this page and look at the terminal.");
  if (ours) resolve(url.searchParams);
}));
server.close();
if (answer.get("state") !== state || answer.get("iss") !== known.issuer) throw new Error("not to our question");
if (answer.has("error")) throw new Error(`not allowed: ${answer.get("error")}`);

const form = { grant_type: "authorization_code", client_id: CLIENT_ID, code: answer.get("code") };
const response = await fetch(known.token_endpoint, {
  method: "POST", body: new URLSearchParams({ ...form, redirect_uri: redirectUri, code_verifier: verifier }),
});
const token = await response.json();
if (!response.ok) throw new Error(`${token.error}: ${token.error_description}`);
const get = async (url) => (await fetch(url, { headers: { Authorization: `Bearer ${token.access_token}` } })).json();
console.log(`Member: ${(await get(known.userinfo_endpoint)).name}, allowed: ${token.scope}`);
if (token.scope.split(" ").includes("balance"))
  console.log(`Total: ${(await get(`${KUMIAI_URL}/v1/wallets`)).total_yen} yen`);

// Profile fapi2: PAR, a key instead of a secret (private_key_jwt), tokens bound to a key (DPoP). Node 20.
// CLIENT_KEY is the private key as a JWK with its kid; the office registered its public half.
import { createHash, randomUUID, randomBytes, webcrypto } from "node:crypto";
import { createInterface } from "node:readline/promises";

const { KUMIAI_URL, CLIENT_ID, CLIENT_KEY, REDIRECT_URI } = process.env;
const ES256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const clientJwk = JSON.parse(CLIENT_KEY);
const clientKey = await webcrypto.subtle.importKey("jwk", clientJwk, ES256, false, ["sign"]);
const dpop = await webcrypto.subtle.generateKey(ES256, false, ["sign"]); // keep it with the tokens
const { kty, crv, x, y } = await webcrypto.subtle.exportKey("jwk", dpop.publicKey);
const known = await (await fetch(`${KUMIAI_URL}/.well-known/openid-configuration`)).json();
const sha256 = (text) => createHash("sha256").update(text).digest("base64url");
const now = () => Math.floor(Date.now() / 1000);

async function signed(header, claims, key) {
  const words = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  const signature = await webcrypto.subtle.sign(ES256, key, Buffer.from(words));
  return `${words}.${Buffer.from(signature).toString("base64url")}`;
}

function proof(method, url, token) { // for this one request, and this token where one is shown; url has no query
  const claims = { jti: randomUUID(), htm: method, htu: url, iat: now(), ...(token && { ath: sha256(token) }) };
  return signed({ typ: "dpop+jwt", alg: "ES256", jwk: { kty, crv, x, y } }, claims, dpop.privateKey);
}

async function ask(url, form) { // with a new assertion; its audience is the issuer, not the endpoint
  const claims = { iss: CLIENT_ID, sub: CLIENT_ID, aud: known.issuer, jti: randomUUID(), iat: now(), exp: now() + 60 };
  const answer = await fetch(url, {
    method: "POST", headers: { DPoP: await proof("POST", url) },
    body: new URLSearchParams({
      ...form, client_id: CLIENT_ID,
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: await signed({ alg: "ES256", kid: clientJwk.kid }, claims, clientKey),
    }),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(`${body.error}: ${body.error_description}`);
  return body;
}

const [state, verifier] = [0, 0].map(() => randomBytes(32).toString("base64url"));
const pushed = await ask(known.pushed_authorization_request_endpoint, {
  response_type: "code", redirect_uri: REDIRECT_URI, scope: "openid balance offline_access", state,
  code_challenge: sha256(verifier), code_challenge_method: "S256",
});
const query = new URLSearchParams({ client_id: CLIENT_ID, request_uri: pushed.request_uri });
console.log(`Open this: ${known.authorization_endpoint}?${query}`);
const reader = createInterface({ input: process.stdin });
const back = new URL(await reader.question("The address it came back to: ")).searchParams;
reader.close();
if (back.get("state") !== state || back.get("iss") !== known.issuer) throw new Error("not to our question");
if (back.has("error")) throw new Error(`not allowed: ${back.get("error")}`);

const redeemed = { code: back.get("code"), redirect_uri: REDIRECT_URI, code_verifier: verifier };
let token = await ask(known.token_endpoint, { grant_type: "authorization_code", ...redeemed });
token = await ask(known.token_endpoint, { grant_type: "refresh_token", refresh_token: token.refresh_token });
console.log(`Bound: ${token.token_type}, allowed: ${token.scope}`);
const url = `${KUMIAI_URL}/v1/wallets`;
const headers = { Authorization: `DPoP ${token.access_token}`, DPoP: await proof("GET", url, token.access_token) };
console.log(`Total: ${(await (await fetch(url, { headers })).json()).total_yen} yen`);

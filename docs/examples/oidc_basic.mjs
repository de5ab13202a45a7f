// Profile oidc_basic: what ready-made software that knows no PKCE does. Node 20. If you write it yourself, use web.
import { randomBytes, webcrypto } from "node:crypto";
import { createInterface } from "node:readline/promises";

const { KUMIAI_URL, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI } = process.env;
const known = await (await fetch(`${KUMIAI_URL}/.well-known/openid-configuration`)).json();
const [state, nonce] = [0, 0].map(() => randomBytes(32).toString("base64url")); // the nonce stands in for PKCE
const asked = new URLSearchParams({
  response_type: "code", client_id: CLIENT_ID, redirect_uri: REDIRECT_URI, scope: "openid profile", state, nonce,
});
console.log(`Open this: ${known.authorization_endpoint}?${asked}`);
const reader = createInterface({ input: process.stdin });
const back = new URL(await reader.question("The address it came back to: ")).searchParams;
reader.close();
if (back.get("state") !== state || back.get("iss") !== known.issuer) throw new Error("not to our question");
if (back.has("error")) throw new Error(`not allowed: ${back.get("error")}`);

const response = await fetch(known.token_endpoint, {
  method: "POST",
  headers: { Authorization: `Basic ${Buffer.from(`${CLIENT_ID}:${CLIENT_SECRET}`).toString("base64")}` },
  body: new URLSearchParams({ grant_type: "authorization_code", code: back.get("code"), redirect_uri: REDIRECT_URI }),
});
const token = await response.json();
if (!response.ok) throw new Error(`${token.error}: ${token.error_description}`);

const parts = token.id_token.split(".");
const [header, claims] = parts.slice(0, 2).map((part) => JSON.parse(Buffer.from(part, "base64url")));
const { keys } = await (await fetch(known.jwks_uri)).json();
const jwk = keys.find((key) => key.kid === header.kid && key.alg === "ES256" && header.alg === "ES256");
if (!jwk) throw new Error("signed by a key that is not published");
const es256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const key = await webcrypto.subtle.importKey("jwk", jwk, es256, false, ["verify"]);
const words = Buffer.from(`${parts[0]}.${parts[1]}`);
const good = await webcrypto.subtle.verify(es256, key, Buffer.from(parts[2], "base64url"), words);
if (!good || claims.iss !== known.issuer || claims.aud !== CLIENT_ID || claims.nonce !== nonce
    || claims.exp * 1000 < Date.now() - 60_000) throw new Error("not an ID token for us");

const headers = { Authorization: `Bearer ${token.access_token}` };
console.log(`Member: ${(await (await fetch(known.userinfo_endpoint, { headers })).json()).name}, allowed: ${token.scope}`);

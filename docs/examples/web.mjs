// Profile web: a web site with a server. Node 20, nothing to install: `node web.mjs`.
import { createHash, randomBytes, webcrypto } from "node:crypto";
import { createServer } from "node:http";

const { KUMIAI_URL, CLIENT_ID, CLIENT_SECRET, PORT } = process.env;
const REDIRECT_URI = `http://localhost:${PORT}/callback`; // registered; https in production
const known = await (await fetch(`${KUMIAI_URL}/.well-known/openid-configuration`)).json();
const random = () => randomBytes(32).toString("base64url");
const sessions = new Map(); // by cookie; yours is a table

async function ask(form) { // the token endpoint
  const basic = Buffer.from(`${CLIENT_ID}:${CLIENT_SECRET}`).toString("base64");
  const answer = await fetch(known.token_endpoint, {
    method: "POST", body: new URLSearchParams(form), headers: { Authorization: `Basic ${basic}` },
  });
  const token = await answer.json();
  if (!answer.ok) throw new Error(`${token.error}: ${token.error_description}`);
  return { ...token, ends_at: Date.now() + token.expires_in * 1000 };
}

async function checked(idToken, nonce) { // signature, iss, aud, exp, nonce
  const parts = idToken.split(".");
  const [header, claims] = parts.slice(0, 2).map((part) => JSON.parse(Buffer.from(part, "base64url")));
  const { keys } = await (await fetch(known.jwks_uri)).json();
  const jwk = keys.find((key) => key.kid === header.kid && key.alg === "ES256" && header.alg === "ES256");
  if (!jwk) throw new Error("signed by a key that is not published");
  const es256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const key = await webcrypto.subtle.importKey("jwk", jwk, es256, false, ["verify"]);
  const signed = Buffer.from(`${parts[0]}.${parts[1]}`);
  const good = await webcrypto.subtle.verify(es256, key, Buffer.from(parts[2], "base64url"), signed);
  if (!good || claims.iss !== known.issuer || claims.aud !== CLIENT_ID || claims.nonce !== nonce
      || claims.exp * 1000 < Date.now() - 60_000) throw new Error("not an ID token for us");
  return claims;
}

async function livingToken(session) { // no scope is sent: it would ask for what was not given
  if (session.token.ends_at < Date.now() + 60_000 && session.token.refresh_token)
    session.token = await ask({ grant_type: "refresh_token", refresh_token: session.token.refresh_token });
  return session.token;
}

const pages = {
  "/connect": async (session) => {
    Object.assign(session, { state: random(), nonce: random(), verifier: random() });
    const query = new URLSearchParams({
      response_type: "code", client_id: CLIENT_ID, redirect_uri: REDIRECT_URI,
      scope: "openid balance history offline_access", state: session.state, nonce: session.nonce,
      code_challenge: createHash("sha256").update(session.verifier).digest("base64url"), code_challenge_method: "S256",
    });
    return { location: `${known.authorization_endpoint}?${query}` };
  },
  "/callback": async (session, query) => {
    const { state, nonce, verifier } = session;
    delete session.state; // good for one answer
    if (!state || query.get("state") !== state || query.get("iss") !== known.issuer) return { text: "Not our question." };
    if (query.has("error")) return { text: `Not connected: ${query.get("error")}` };
    const form = { grant_type: "authorization_code", code: query.get("code"), redirect_uri: REDIRECT_URI };
    session.token = await ask({ ...form, code_verifier: verifier });
    session.member = (await checked(session.token.id_token, nonce)).sub;
    return { location: "/", signedIn: true };
  },
  "/": async (session) => {
    if (!session.member) return { html: '<a href="/connect">Connect my e-money</a>' };
    const token = await livingToken(session);
    if (!token.scope.split(" ").includes("balance")) return { text: "Connected, without the balance." };
    const answer = await fetch(`${KUMIAI_URL}/v1/wallets`, { headers: { Authorization: `Bearer ${token.access_token}` } });
    return { text: `You have ${(await answer.json()).total_yen} yen.` };
  },
};

createServer(async (request, response) => {
  const url = new URL(request.url, REDIRECT_URI);
  const cookie = /app=([\w-]{43})/.exec(request.headers.cookie ?? "")?.[1];
  let id = sessions.has(cookie) ? cookie : random();
  const session = sessions.get(id) ?? sessions.set(id, {}).get(id);
  const page = pages[url.pathname] ?? (async () => ({ text: "Nothing here." }));
  const shown = await page(session, url.searchParams).catch((error) => ({ text: `Sorry: ${error.message}` }));
  if (shown.signedIn) { // under a new name: nobody else can know it
    sessions.delete(id);
    sessions.set(id = random(), session);
  }
  response.setHeader("Set-Cookie", `app=${id}; HttpOnly; SameSite=Lax; Path=/`); // and Secure, over https
  response.setHeader("Content-Type", `text/${shown.html ? "html" : "plain"}; charset=utf-8`); // words of others are no HTML
  response.setHeader("X-Content-Type-Options", "nosniff");
  response.writeHead(shown.location ? 303 : 200, shown.location ? { Location: shown.location } : {});
  response.end(shown.html ?? shown.text);
}).listen(Number(PORT), () => console.log(`Open http://localhost:${PORT}/`));

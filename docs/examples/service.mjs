// Profile service: a program that acts for itself, with a secret. Node 20: `node service.mjs`.
const { KUMIAI_URL, CLIENT_ID, CLIENT_SECRET } = process.env;
let kept = { ends_at: 0 };

async function accessToken() { // one is fetched a minute before the last ends: there is no refresh token
  if (Date.now() < kept.ends_at - 60_000) return kept.access_token;
  const answer = await fetch(`${KUMIAI_URL}/oauth/token`, {
    method: "POST",
    body: new URLSearchParams({ grant_type: "client_credentials" }), // without a scope: all that the office gave
    headers: { Authorization: `Basic ${Buffer.from(`${CLIENT_ID}:${CLIENT_SECRET}`).toString("base64")}` },
  });
  const token = await answer.json();
  if (!answer.ok) throw new Error(`${token.error}: ${token.error_description}`);
  kept = { ...token, ends_at: Date.now() + token.expires_in * 1000 };
  return kept.access_token;
}

const me = await fetch(`${KUMIAI_URL}/v1/me`, { headers: { Authorization: `Bearer ${await accessToken()}` } });
const { client_id, scopes } = await me.json();
console.log(`Client: ${client_id}, may: ${scopes.join(" ")}`);

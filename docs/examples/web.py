"""Profile web: a web site with a server. Needs flask, authlib and requests; run `flask --app web.py run`."""

import os
import time
from urllib.parse import urlencode

import requests
from authlib.integrations.flask_client import OAuth, OAuthError
from flask import Flask, abort, redirect, request, session, url_for
from markupsafe import escape

KUMIAI = os.environ["KUMIAI_URL"]
CLIENT = (os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])

app = Flask(__name__)
app.secret_key = os.environ["SESSION_KEY"]
kumiai = OAuth(app).register(
    "kumiai",
    server_metadata_url=f"{KUMIAI}/.well-known/openid-configuration",
    client_id=CLIENT[0],
    client_secret=CLIENT[1],
    client_kwargs={"scope": "openid profile balance history offline_access", "code_challenge_method": "S256"},
)
TOKENS = {}  # by member; yours is a table, and encrypted


@app.get("/connect")
def connect():
    return kumiai.authorize_redirect(url_for("callback", _external=True))  # makes state, nonce and the PKCE verifier


@app.get("/callback")
def callback():
    if request.args.get("iss") != KUMIAI:  # RFC 9207; Authlib does not look at it
        abort(400)
    try:
        token = kumiai.authorize_access_token()  # checks state, redeems the code, checks the ID token
    except OAuthError as error:
        return f"Not connected: {escape(error.error)}", 400  # anybody can write a link with an error in it
    session["member"] = token["userinfo"]["sub"]
    session["id_token"] = token["id_token"]
    TOKENS[session["member"]] = token
    return redirect("/")


@app.get("/")
def home():
    if session.get("member") not in TOKENS:
        return '<a href="/connect">Connect my e-money</a>'
    token = living_token(session["member"])
    if "balance" not in token["scope"].split():  # the member left that box empty
        return "Connected, without the balance."
    wallets = requests.get(
        f"{KUMIAI}/v1/wallets", headers={"Authorization": f"Bearer {token['access_token']}"}, timeout=10
    )
    return f"You have {wallets.json()['total_yen']} yen."


def living_token(member):
    """The access token, renewed a minute before it ends. No scope is sent: it would ask for what was not given."""
    token = TOKENS[member]
    if token["expires_at"] < time.time() + 60 and "refresh_token" in token:
        form = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
        answer = requests.post(f"{KUMIAI}/oauth/token", form, auth=CLIENT, timeout=10)
        if answer.status_code == 400:  # invalid_grant: taken back by the member, or 30 days unused
            del TOKENS[member]
            abort(401)
        answer.raise_for_status()
        token = TOKENS[member] = {**answer.json(), "expires_at": time.time() + answer.json()["expires_in"]}
    return token


@app.post("/sign-out")
def sign_out():
    hint = session.pop("id_token", None)
    session.clear()
    query = {"id_token_hint": hint, "post_logout_redirect_uri": url_for("home", _external=True)}
    return redirect(f"{KUMIAI}/oauth/logout?{urlencode(query)}" if hint else "/", code=303)

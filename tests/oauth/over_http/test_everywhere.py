"""Checklist, "Everywhere (RFC 9700)": its clauses in order, over HTTP against the running server."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urljoin, urlsplit
from uuid import UUID, uuid4

import pytest
import requests

from app.db import transaction
from app.oauth.errors import InvalidClientMetadata
from app.oauth.suspension import suspend_member
from tests import factories
from tests.live import PASSWORD, Live
from tests.oauth.browser import TIMEOUT_S, Browser
from tests.oauth.over_http.conftest import Visitor, signed_in
from tests.oauth.over_http.plain_client import CALLBACK, PlainClient, refusal, sent_back

NEW_PASSWORD = "あしたの献立はまだ知らない"


def get(address: str, **options: Any) -> requests.Response:
    """As a browser without cookies opens it; nothing is followed."""
    return requests.get(address, allow_redirects=False, timeout=TIMEOUT_S, **options)


def is_error_page(answer: requests.Response) -> bool:
    html = answer.headers["Content-Type"].startswith("text/html")
    return (answer.status_code, html, "Location" in answer.headers) == (400, True, False)


# --- exact redirect match (trailing slash, case, query, userinfo, sub-domain all refused; loopback port free)


@pytest.mark.parametrize(
    "uri",
    [
        f"{CALLBACK}/",
        CALLBACK.replace("callback", "Callback"),
        CALLBACK.replace("app", "App"),
        CALLBACK.replace("https", "HTTPS"),
        f"{CALLBACK}?a=b",
        f"{CALLBACK}#a",
        "https://user@app.example/callback",
        "https://app.example@evil.example/callback",
        "https://evil.app.example/callback",
        "https://app.example.evil.example/callback",
        "https://app.example:443/callback",
        "https://app.example:8443/callback",
        "http://app.example/callback",
        "https://app.example/x/../callback",
        "https://app.example/%63allback",
        "https://app.example",
        "//app.example/callback",
        "https://evil.example/",
        "javascript:alert(1)",
        f" {CALLBACK}",
    ],
)
def test_exact_redirect_match(web: PlainClient, browser: Browser, uri: str) -> None:
    """exact redirect match (trailing slash, case, query, userinfo, sub-domain all refused)"""
    address = web.address(redirect_uri=uri)
    assert is_error_page(get(address))
    assert is_error_page(browser.open(address))  # signed in, too


def test_loopback_port_free(new_client: Callable[..., PlainClient], browser: Browser) -> None:
    """loopback port free: of native apps, and nothing but the port"""
    native = new_client(profile="native", redirect_uris=["http://127.0.0.1/cb"])
    free = "http://127.0.0.1:49152/cb"
    back = native.other(redirect_uri=free).answer(browser)
    assert native.redeem(back["code"], redirect_uri=free).status_code == 200
    for uri in (
        "http://127.0.0.1:49152/cb/",
        "http://localhost:49152/cb",
        "http://127.0.0.2/cb",
        "https://127.0.0.1/cb",
    ):
        assert is_error_page(get(native.address(redirect_uri=uri)))
    fixed = new_client(redirect_uris=["http://127.0.0.1/cb"])
    assert is_error_page(get(fixed.address(redirect_uri=free)))


# --- bad client or redirect -> error page, never a redirect


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"client_id": "c_nobody"},
        {"client_id": "'; --"},
        {"redirect_uri": None},
        {"redirect_uri": ""},
        {"redirect_uri": "https://evil.example/", "response_type": "token"},
        {"redirect_uri": "https://evil.example/", "scope": "nothing", "prompt": "none"},
    ],
)
def test_bad_client_or_redirect_is_an_error_page(web: PlainClient, changes: dict[str, str | None]) -> None:
    """bad client or redirect -> error page, never a redirect"""
    assert is_error_page(get(web.address(**changes)))


def test_a_client_or_redirect_given_twice_is_an_error_page(web: PlainClient) -> None:
    """bad client or redirect -> error page, never a redirect"""
    for more in (f"client_id={web.id}", "redirect_uri=https://evil.example/", f"redirect_uri={quote(CALLBACK)}"):
        assert is_error_page(get(f"{web.address()}&{more}"))


# --- never 307, prefer 303


def test_every_redirect_is_a_303(live_server: Live, new_client: Callable[..., PlainClient]) -> None:
    """never 307, prefer 303: sign-in, consent, errors, a client's POST, logout, a new password"""
    web = new_client(post_logout_redirect_uris=["https://app.example/bye"])
    person, browser = live_server.register(), Browser(live_server)
    page = browser.sign_in(browser.open(web.address()), person)
    browser.send(page, decision="cancel")
    browser.send(browser.open(web.address()), decision="allow", permission=["balance"])
    browser.open(web.address(response_type="token"))
    browser.open(web.address(prompt="none"))
    browser.open("/.well-known/change-password")
    page = browser.open("/account/password")
    browser.send(page, current=person.password, new=NEW_PASSWORD, again=NEW_PASSWORD)
    address = f"/oauth/logout?client_id={web.id}&post_logout_redirect_uri=https://app.example/bye"
    assert browser.send(browser.open(address)).headers["Location"] == "https://app.example/bye"
    by_post = requests.post(
        f"{live_server.url}/oauth/authorize", web.request(), allow_redirects=False, timeout=TIMEOUT_S
    )
    assert len(browser.redirects) == 10
    assert {*browser.redirects, by_post.status_code} == {303}


# --- no implicit, no password grant


@pytest.mark.parametrize(
    "response_type", ["token", "id_token", "id_token token", "code token", "code id_token", "none"]
)
def test_no_implicit_grant(web: PlainClient, browser: Browser, response_type: str) -> None:
    """no implicit grant"""
    back = browser.open(web.address(response_type=response_type))
    assert "#" not in back.headers["Location"]
    parameters = sent_back(back, to=CALLBACK)
    assert parameters["error"] == "unsupported_response_type"
    assert not {"code", "access_token", "id_token"} & parameters.keys()


def test_no_password_grant(web: PlainClient, visitor: Visitor) -> None:
    """no password grant"""
    person = visitor.person
    answer = web.token(grant_type="password", username=person.email, password=person.password, scope="openid")
    assert refusal(answer) == (400, "unsupported_grant_type")
    metadata = get(f"{web.live.url}/.well-known/oauth-authorization-server").json()
    assert metadata["response_types_supported"] == ["code"]
    assert not {"password", "implicit"} & set(metadata["grant_types_supported"])


# --- verifier without challenge refused; PKCE S256 only


def test_a_verifier_without_challenge_is_refused(new_client: Callable[..., PlainClient], browser: Browser) -> None:
    """verifier without challenge refused"""
    basic = new_client(profile="oidc_basic")
    code = basic.answer(browser, code_challenge=None, code_challenge_method=None)["code"]
    assert refusal(basic.redeem(code)) == (400, "invalid_grant")


@pytest.mark.parametrize("profile", ["web", "native", "spa"])
@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": None},
        {"code_challenge": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "s256"},
    ],
)
def test_pkce_s256_only(
    new_client: Callable[..., PlainClient], browser: Browser, profile: str, changes: dict[str, str | None]
) -> None:
    """PKCE S256 only"""
    back = sent_back(browser.open(new_client(profile=profile).address(**changes)), to=CALLBACK)
    assert (back["error"], "code" in back) == ("invalid_request", False)


@pytest.mark.parametrize("verifier", [None, "", "x" * 43])
def test_pkce_verifier_must_match(web: PlainClient, browser: Browser, verifier: str | None) -> None:
    """PKCE: a missing or wrong verifier is refused, and spends the code"""
    code = web.answer(browser)["code"]
    assert refusal(web.redeem(code, code_verifier=verifier)) == (400, "invalid_grant")
    assert refusal(web.redeem(code)) == (400, "invalid_grant")


# --- `iss` on success and error


def test_iss_on_success_and_error(web: PlainClient, browser: Browser) -> None:
    """`iss` on success and error, before and at the consent stage"""
    answers = {
        "login_required": get(web.address(prompt="none")),
        "invalid_scope": get(web.address(scope="nothing")),
        "unsupported_response_type": get(web.address(response_type="token")),
        "consent_required": browser.open(web.address(prompt="none")),
        "access_denied": browser.send(browser.open(web.address()), decision="cancel"),
    }
    for error, answer in answers.items():
        back = sent_back(answer, to=CALLBACK)
        assert (back["error"], back["state"], back["iss"]) == (error, "st4te", web.live.url)
    assert web.answer(browser)["iss"] == web.live.url


# --- token in the query refused


def test_a_token_in_the_query_is_refused(web: PlainClient, browser: Browser) -> None:
    """token in the query refused: at the API and at every endpoint for clients; nor in the body of a call"""
    tokens = web.tokens(browser)
    userinfo = f"{web.live.url}/oauth/userinfo"
    in_query = get(userinfo, params={"access_token": tokens["access_token"]})
    in_body = requests.post(userinfo, {"access_token": tokens["access_token"]}, timeout=TIMEOUT_S)
    assert (in_query.status_code, in_body.status_code) == (401, 401)
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert web.secret is not None
    for path, query in {
        "/oauth/token": refresh,
        "/oauth/revoke": {"token": tokens["refresh_token"]},
        "/oauth/introspect": {"token": tokens["refresh_token"]},
    }.items():
        answer = requests.post(f"{web.live.url}{path}", {}, params=query, auth=(web.id, web.secret), timeout=TIMEOUT_S)
        assert answer.status_code in (400, 415)
        assert answer.json()["error"] == "invalid_request"
    assert web.refresh(tokens["refresh_token"]).status_code == 200


# --- `Cache-Control: no-store` at the token endpoint


def test_no_store_at_the_token_endpoint(web: PlainClient, browser: Browser) -> None:
    """Cache-Control: no-store at the token endpoint, whether it gives tokens or refuses"""
    code = web.answer(browser)["code"]
    good = web.redeem(code)
    refreshed = web.refresh(good.json()["refresh_token"])
    refused = (web.redeem(code), web.other(secret="wrong").redeem(code), web.token(grant_type="password"))
    assert [answer.status_code for answer in (good, refreshed, *refused)] == [200, 200, 400, 401, 400]
    for answer in (good, refreshed, *refused):
        assert answer.headers["Cache-Control"] == "no-store"


# --- no CORS on authorize, CORS on token/userinfo/jwks/discovery for registered origins

ALLOWED = "Access-Control-Allow-Origin"


def test_no_cors_on_authorize(new_client: Callable[..., PlainClient]) -> None:
    """no CORS on authorize, not even for registered origins; nor on sign-in and logout"""
    spa = new_client(profile="spa", redirect_uris=["https://spa.example/cb"])
    for path in (spa.address(), f"{spa.live.url}/login", f"{spa.live.url}/oauth/logout"):
        for method in ("GET", "OPTIONS", "POST"):
            headers = {"Origin": "https://spa.example", "Access-Control-Request-Method": "GET"}
            answer = requests.request(method, path, headers=headers, allow_redirects=False, timeout=TIMEOUT_S)
            assert not [name for name in answer.headers if name.startswith("Access-Control-")]


def test_cors_for_registered_origins(new_client: Callable[..., PlainClient]) -> None:
    """CORS on token/userinfo/jwks/discovery for registered origins, and for no other"""
    spa = new_client(profile="spa", redirect_uris=["https://spa.example/cb"])
    registered, other = {"Origin": "https://spa.example"}, {"Origin": "https://spa.example.evil.example"}
    for path in ("/oauth/token", "/oauth/userinfo"):
        for method in ("OPTIONS", "POST"):
            address = f"{spa.live.url}{path}"
            good = requests.request(method, address, headers=registered, timeout=TIMEOUT_S)
            bad = requests.request(method, address, headers=other, timeout=TIMEOUT_S)
            assert good.headers[ALLOWED] == registered["Origin"]
            assert ALLOWED not in bad.headers
            assert "Access-Control-Allow-Credentials" not in good.headers
    for path in (
        "/oauth/jwks.json",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource",
    ):
        assert get(f"{spa.live.url}{path}", headers=registered).headers[ALLOWED] in ("*", registered["Origin"])


# --- `frame-ancestors 'none'`, `Referrer-Policy: no-referrer`, no third-party asset on sign-in and consent


class Named(HTMLParser):
    """Every address a page names: what a browser loads or sends to, where a link or refresh leads."""

    def __init__(self, page: requests.Response) -> None:
        super().__init__()
        self._page = page
        self.used: set[str] = set()
        self.links: set[str] = set()
        self.feed(page.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "action", "formaction", "srcset", "data", "poster", "ping") and value:
                (self.links if tag == "a" else self.used).add(urljoin(self._page.url, value))
            if name == "content" and value and "url=" in value.lower():
                self.links.add(urljoin(self._page.url, value.partition("=")[2]))


def elsewhere(addresses: set[str], live: Live) -> set[str]:
    """Those of the addresses that are neither the server's nor its member page's."""
    ours = {urlsplit(live.url).netloc, urlsplit(live.mypage.url).netloc}
    return {address for address in addresses if urlsplit(address).netloc not in ours}


@pytest.fixture(scope="module")
def pages(live_server: Live, visitor: Visitor) -> dict[str, requests.Response]:
    """The pages of sign-in and consent, as their visitors get them."""
    with live_server.app.app_context():
        shop = factories.shop(accepts=[factories.money()])
        client = factories.oauth_client(allowed_shops=[shop], redirect_uris=[CALLBACK])
    web = PlainClient(live=live_server, id=client.id, secret=client.secret, redirect_uri=CALLBACK)
    stranger = Browser(live_server)
    sign_in = stranger.open(web.address())
    person = live_server.register()
    code = stranger.send(sign_in, email=person.email, password=person.password)
    return {
        "sign-in": sign_in,
        "sign-in, refused": stranger.send(sign_in, email=f"{uuid4().hex}@example.ac.jp", password="x" * 12),
        "code": code,
        "done": visitor.browser.open("/login/done?next=/account/apps"),
        "forgotten password": stranger.open("/login/forgot"),
        "consent": visitor.browser.open(web.address(scope="openid profile balance history payment offline_access")),
        "device": visitor.browser.open("/oauth/device"),
        "logout": visitor.browser.open("/logout"),
        "error": stranger.open(web.address(client_id="c_nobody")),
    }


PAGES = ("sign-in", "sign-in, refused", "code", "done", "forgotten password", "consent", "device", "logout", "error")


@pytest.mark.parametrize("name", PAGES)
def test_headers_and_assets_of_pages(live_server: Live, pages: dict[str, requests.Response], name: str) -> None:
    """frame-ancestors 'none', Referrer-Policy: no-referrer, no third-party asset on sign-in and consent"""
    page = pages[name]
    policy = dict(part.strip().partition(" ")[::2] for part in page.headers["Content-Security-Policy"].split(";"))
    assert policy["frame-ancestors"] == "'none'"
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    named = Named(page)
    assert named.used, page.text
    assert {urlsplit(address).netloc for address in named.used} == {urlsplit(page.url).netloc}
    assert elsewhere(named.links, live_server) == set()
    assert not re.search(r"@import|url\(", page.text)
    expected = "'self' https://app.example" if name == "consent" else "'self'"
    assert policy["form-action"] == expected


def test_no_style_sheet_loads_from_elsewhere(pages: dict[str, requests.Response]) -> None:
    """no third-party asset: nor by way of our own style sheets"""
    used = {address for page in pages.values() for address in Named(page).used}
    sheets = [address for address in used if urlsplit(address).path.endswith(".css")]
    assert sheets
    for sheet in sheets:
        text = get(sheet).text
        assert not re.search(r"""(?:@import|url\()\s*["']?(?:https?:)?//""", text)


def test_cookie_names(live_server: Live, visitor: Visitor) -> None:
    """two ports of one host share cookies: name them kumiai_session, mypage_session"""
    assert [cookie.name for cookie in visitor.browser.http.cookies if cookie.name.endswith("session")] == [
        "kumiai_session"
    ]
    assert "mypage_session" in get(f"{live_server.mypage.url}/login").cookies


def test_sessions_cookie_is_kept_from_scripts_and_other_sites(live_server: Live) -> None:
    """(the session cookie is HttpOnly and SameSite=Lax)"""
    header = get(f"{live_server.url}/login").headers["Set-Cookie"]
    assert "HttpOnly" in header
    assert "SameSite=Lax" in header


# --- no open redirector (`next`, logout)

ELSEWHERE = [
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example/",
    "\\\\evil.example/",
    "https:evil.example",
    "/\t/evil.example/",
    "javascript:alert('evil.example')",
    " https://evil.example/",
    "/x\r\nLocation: https://evil.example/",
]


@pytest.mark.parametrize("there", ELSEWHERE)
def test_next_leads_nowhere_else(live_server: Live, browser: Browser, there: str) -> None:
    """no open redirector (`next`)"""
    query = quote(there, safe="")
    stranger = Browser(live_server)
    opened = [stranger.open(f"{path}?next={query}") for path in ("/login", "/login/code", "/login/forgot")]
    refused = stranger.send(opened[0], email=f"{uuid4().hex}@example.ac.jp", password="x" * 12)
    assert [page.status_code for page in (*opened, refused)] == [200, 200, 200, 403]
    for page in (*opened, refused, browser.open(f"/login/done?next={query}")):
        assert elsewhere(Named(page).used | Named(page).links, live_server) == set()
    switched = get(f"{live_server.url}/language/en?back={query}")
    assert elsewhere({urljoin(switched.url, switched.headers["Location"])}, live_server) == set()


def test_logout_leads_nowhere_else(live_server: Live, new_client: Callable[..., PlainClient]) -> None:
    """no open redirector (logout): only exactly registered addresses, only with the client they are registered for"""
    bye = "https://app.example/bye"
    web, other = new_client(post_logout_redirect_uris=[bye]), new_client()
    wrong = [
        {"client_id": web.id, "post_logout_redirect_uri": "https://evil.example/"},
        {"client_id": web.id, "post_logout_redirect_uri": f"{bye}/"},
        {"client_id": web.id, "post_logout_redirect_uri": f"{bye}?a=b"},
        {"client_id": other.id, "post_logout_redirect_uri": bye},
        {"post_logout_redirect_uri": bye},
        {"id_token_hint": "x.y.z", "post_logout_redirect_uri": bye},
    ]
    for query in wrong:
        assert is_error_page(get(f"{live_server.url}/oauth/logout", params=query))
        by_post = requests.post(f"{live_server.url}/oauth/logout", query, allow_redirects=False, timeout=TIMEOUT_S)
        assert is_error_page(by_post)
    good = get(f"{live_server.url}/oauth/logout", params=wrong[0] | {"post_logout_redirect_uri": bye, "state": "s"})
    assert good.headers["Location"] == f"{bye}?state=s"
    plain = get(f"{live_server.url}/logout", params={"next": "https://evil.example/"})
    assert plain.status_code == 200
    assert elsewhere(Named(plain).used | Named(plain).links, live_server) == set()


# --- login, consent and logout carry CSRF tokens; session id changes at sign-in


def test_login_consent_and_logout_carry_csrf_tokens(live_server: Live, web: PlainClient, browser: Browser) -> None:
    """login, consent and logout carry CSRF tokens: without, with a wrong one, or from another site nothing happens"""
    person = live_server.register()
    stranger = Browser(live_server)
    sign_in = stranger.open("/login")
    logout = f"/oauth/logout?client_id={web.id}"
    forms: list[tuple[Browser, requests.Response, dict[str, Any]]] = [
        (stranger, sign_in, {"email": person.email, "password": person.password}),
        (browser, browser.open(web.address()), {"decision": "allow", "permission": ["balance"]}),
        (browser, browser.open("/logout"), {}),
        (browser, browser.open(logout), {}),
        (browser, browser.open("/account/password"), {"current": PASSWORD, "new": NEW_PASSWORD, "again": NEW_PASSWORD}),
    ]
    code_page = stranger.send(sign_in, email=person.email, password=person.password)
    forms.append((stranger, code_page, {"code": live_server.mailed_code(person.email)}))
    for who, page, fields in forms:
        assert page.status_code == 200, page.text
        for token in (None, "", "x"):
            answer = who.send(page, csrf_token=token, **fields)
            assert is_error_page(answer), page.url
        who.http.headers["Sec-Fetch-Site"] = "cross-site"
        answer = who.send(page, **fields)
        del who.http.headers["Sec-Fetch-Site"]
        assert is_error_page(answer), page.url
    assert "consent_required" in browser.open(web.address(prompt="none")).headers["Location"]  # signed in, not allowed


def test_the_session_id_changes_at_sign_in(live_server: Live) -> None:
    """session id changes at sign-in, and what the cookie held before is not signed in"""
    person, browser = live_server.register(), Browser(live_server)

    def cookie() -> str:
        return str(browser.http.cookies.get("kumiai_session"))

    def is_signed_in(value: str) -> bool:
        answer = get(f"{live_server.url}/account/apps", cookies={"kumiai_session": value})
        return answer.status_code == 200

    page = browser.open("/login?next=/logout")
    before = cookie()
    browser.sign_in(page, person)
    first = cookie()
    assert before != first
    assert (is_signed_in(before), is_signed_in(first)) == (False, True)

    browser.sign_in(browser.open("/login?next=/logout"), person, mails_before=1)
    assert cookie() != first
    assert (is_signed_in(first), is_signed_in(cookie())) == (False, True)

    browser.send(browser.open("/logout"))
    assert not is_signed_in(first)
    assert "パスワード" in browser.open("/account/apps").text


# --- client_id cannot look like a member's `sub`


def test_a_client_id_cannot_look_like_a_sub(
    live_server: Live, web: PlainClient, browser: Browser, registration: Callable[..., requests.Response]
) -> None:
    """client_id cannot look like a member's `sub`: neither one that a developer is given, nor one the office chooses"""
    sub = web.call(web.tokens(browser)["access_token"]).json()["sub"]
    assert str(UUID(sub)) == sub
    assert is_error_page(get(web.address(client_id=sub)))
    given = registration(client_id=sub)
    assert given.status_code == 201
    assert re.fullmatch("c_[0-9a-f]{24}", given.json()["client_id"])  # what was wished for is not looked at
    for looks_like_it in (sub, sub.upper(), str(uuid4())):
        with pytest.raises(InvalidClientMetadata) as refused, live_server.app.app_context():
            factories.oauth_client(client_id=looks_like_it)
        assert refused.value.detail == {"field": "client_id"}


# --- all tokens die on password change, suspension, logout-everywhere


def change_password(live: Live, visitor: Visitor) -> None:
    page = visitor.browser.open("/account/password")
    done = visitor.browser.send(page, current=PASSWORD, new=NEW_PASSWORD, again=NEW_PASSWORD)
    assert "changed=1" in done.url


def suspend(live: Live, visitor: Visitor) -> None:
    with live.app.app_context(), transaction():
        suspend_member(visitor.person.id)


def sign_out_everywhere(live: Live, visitor: Visitor) -> None:
    other = Browser(live)
    page = other.sign_in(other.open("/login?next=/logout"), visitor.person, mails_before=1)
    other.send(page, sessions="all")


@pytest.mark.parametrize("event", [change_password, suspend, sign_out_everywhere])
def test_all_tokens_die(
    live_server: Live,
    new_client: Callable[..., PlainClient],
    rows: Callable[..., list[Any]],
    event: Callable[[Live, Visitor], None],
) -> None:
    """all tokens die on password change, suspension, logout-everywhere; codes and sessions too"""
    visitor, clients = signed_in(live_server), [new_client(), new_client(profile="native")]
    held = [(client, client.tokens(visitor.browser)) for client in clients]
    code = clients[0].answer(visitor.browser)["code"]
    for client, tokens in held:
        assert client.call(tokens["access_token"]).status_code == 200
    session = visitor.browser.http.cookies.get("kumiai_session")

    event(live_server, visitor)

    for _ in range(2):
        for client, tokens in held:
            assert client.call(tokens["access_token"]).status_code == 401
            assert refusal(client.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
        assert get(f"{live_server.url}/account/apps", cookies={"kumiai_session": str(session)}).status_code == 303
        rows("UPDATE member SET status = 'active' WHERE id = :id", id=visitor.person.id)  # resumed, they stay dead
    assert refusal(clients[0].redeem(code)) == (400, "invalid_grant")

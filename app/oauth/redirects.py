"""Redirect URIs: which may be registered, and when one that is asked for is the registered one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

_PORT = r"(?::(?P<port>[1-9][0-9]{0,4}))?"
_LABEL = "[A-Za-z0-9-]{1,63}"
# RFC 8252 section 7.3: a native app listens on whatever port the system gives it.
_LOOPBACK = re.compile(rf"http://(?P<host>127\.0\.0\.1|\[::1\]|localhost){_PORT}(?P<rest>/[^#]*)?")
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_WEB = re.compile(rf"https://{_LABEL}(?:\.{_LABEL})*{_PORT}(?:[/?].*)?")
_PRIVATE = re.compile(r"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+:/[^/].*")


def matches(asked: str, registered: Iterable[str], *, any_loopback_port: bool) -> bool:
    """Whether `asked` is registered, character by character (RFC 9700 section 2.1).

    Only a native app's loopback port is free.
    """
    if asked in registered:
        return True
    return any_loopback_port and _without_port(asked) in {_without_port(uri) for uri in registered} - {None}


def registrable(uri: str, *, profile: str) -> bool:
    """Whether `uri` may be registered: https, http to this very machine, or a native app's own scheme.

    A private scheme must contain a dot, being a domain name in reverse (RFC 8252 section 7.1), which also keeps
    `javascript:` and its like out.
    """
    if not _PRINTABLE.fullmatch(uri) or "#" in uri:
        return False
    if _match(_WEB, uri) or _match(_LOOPBACK, uri):
        return True
    return profile == "native" and _PRIVATE.fullmatch(uri) is not None


def belongs_to_one_program(uri: str) -> bool:
    """Whether a registered redirect URI is a web site's. Any program on a member's own machine may listen on a
    loopback port or claim a private scheme (RFC 8252 section 8.6).
    """
    parts = urlsplit(uri)
    return parts.scheme == "https" and parts.hostname not in ("localhost", "127.0.0.1")


def all_at(uris: Iterable[str], url: str) -> bool:
    """Whether each of these registered redirect URIs (and there is one) is at the origin of `url`."""
    return {origin(uri) for uri in uris} == {origin(url)}


def origin(uri: str) -> str:
    """The origin of a registered redirect URI as a CSP source: scheme and host, or a private scheme alone."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"


def _without_port(uri: str) -> tuple[str, str] | None:
    match = _match(_LOOPBACK, uri)
    return (match["host"], match["rest"] or "") if match else None


def _match(form: re.Pattern[str], uri: str) -> re.Match[str] | None:
    """`uri` taken apart, if it is of this form and its port is one: redirecting to another would fail on our side."""
    match = form.fullmatch(uri)
    return match if match and int(match["port"] or 1) <= 65_535 else None

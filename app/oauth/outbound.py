"""Calls to an address that somebody else chose: a client's server.

A registered address must not make this server speak to its own network (server-side request forgery): where
`public_only`, it is https, and every address its name stands for is a public one, looked up once and connected to as
it was looked up (a second look could answer otherwise). Redirects are not followed, of the answer only the beginning
is read, and neither the connecting nor the rest can be drawn out.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from urllib.parse import SplitResult, urlencode, urlsplit

TIMEOUT_S = 5.0
"""Per network operation."""
DEADLINE_S = 10.0
"""Once connected, for asking and the answer together, however slowly it trickles."""

MOST_ADDRESSES = 3
"""How many addresses of one name are tried. A name may stand for any number of them, each silent for `TIMEOUT_S`."""

MOST_READ = 4_096
"""How many bytes of an answer's body are read, and of each of its headers kept."""
MOST_HEADERS = 40
BODY_WITHIN_S = 1.0
"""What comes of a body after this is not waited for: the status is the answer."""

_PORTS = {"https": 443, "http": 80}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""The only part of IPv6 that is given out to the public internet (RFC 4291 section 2.4, IANA's registry)."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the headers, and at most MOST_READ bytes of the body."""

    status: int
    headers: dict[str, str]
    body: bytes


class AddressNotPublic(Exception):
    """The address is not https, or stands for a machine that is not on the public internet."""


def post_form(url: str, form: Mapping[str, str], *, public_only: bool) -> int:
    """POST a form and return the status. Raises AddressNotPublic, OSError, http.client.HTTPException."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return post(url, urlencode(form).encode(), headers=headers, public_only=public_only, most_read=0).status


def post(
    url: str,
    body: bytes,
    *,
    headers: Mapping[str, str],
    public_only: bool,
    also: Sequence[Network] = (),
    patience_s: float | None = None,
    most_read: int = MOST_READ,
) -> Answer:
    """POST and return the beginning of the answer, waiting for it `patience_s` (default: TIMEOUT_S) at a time.

    `also` are networks that are spoken to though they are not public. At most `most_read` bytes of the body are read.
    Raises AddressNotPublic, OSError, http.client.HTTPException, and ValueError for what is no address at all.
    """
    parts = urlsplit(url)
    if parts.scheme not in ({"https"} if public_only else _PORTS) or not parts.hostname:
        raise AddressNotPublic
    port = parts.port or _PORTS[parts.scheme]
    addresses = _look_up(parts.hostname, port)
    if public_only and not all(is_public(address, also=also) for address in addresses):
        raise AddressNotPublic
    with (
        _connect(addresses[:MOST_ADDRESSES], port) as connected,
        _cut_in_time(connected),
        _secured(connected, parts) as speaking,
    ):
        speaking.settimeout(patience_s or TIMEOUT_S)
        return _ask(speaking, parts, body, headers, most_read)


def is_public(address: str, *, also: Sequence[Network] = ()) -> bool:
    """Whether an IP address is one of the public internet, or of `also`; an IPv4 address inside counts as itself."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inside = parsed.ipv4_mapped or parsed.sixtofour
        if parsed in _NAT64:
            inside = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inside is not None:
            return is_public(str(inside), also=also)
    if any(parsed in network for network in also):
        return True
    if parsed.version == 6 and parsed not in _GLOBAL_UNICAST:
        return False
    return parsed.is_global and not parsed.is_multicast


def _look_up(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def _connect(addresses: Sequence[str], port: int) -> socket.socket:
    """A connection to the first of the addresses that takes one; together they have `DEADLINE_S` for it."""
    ends_s = monotonic() + DEADLINE_S
    for address in addresses[:-1]:
        with suppress(OSError):
            return socket.create_connection((address, port), timeout=_left_s(ends_s))
    return socket.create_connection((addresses[-1], port), timeout=_left_s(ends_s))


def _left_s(ends_s: float) -> float:
    return max(0.1, min(TIMEOUT_S, ends_s - monotonic()))


@contextmanager
def _cut_in_time(connected: socket.socket) -> Iterator[None]:
    """Cut the connection when its time is over, whatever it is waiting for. Raises TimeoutError then."""
    handle, late = connected.dup(), threading.Event()
    timer = threading.Timer(DEADLINE_S, _cut, [handle, late])
    timer.start()
    try:
        yield
        if late.is_set():  # the half of an answer that was there when it was cut may look like a whole one
            raise TimeoutError
    except (OSError, http.client.HTTPException) as error:
        raise (TimeoutError() if late.is_set() else error) from None
    finally:
        timer.cancel()
        handle.close()


def _cut(handle: socket.socket, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):  # it was over just now
        handle.shutdown(socket.SHUT_RDWR)


def _secured(connected: socket.socket, parts: SplitResult) -> socket.socket:
    """The connection itself, or TLS over it, with the certificate checked against the name in the address."""
    if parts.scheme == "http":
        return connected
    return ssl.create_default_context().wrap_socket(connected, server_hostname=parts.hostname)


def _ask(
    connected: socket.socket, parts: SplitResult, body: bytes, headers: Mapping[str, str], most_read: int
) -> Answer:
    connection = http.client.HTTPConnection(parts.netloc.rpartition("@")[2])
    connection.sock = connected
    host = connection.host if parts.port is None else f"{connection.host}:{parts.port}"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.request("POST", path, body, {"Host": host, **headers, "Connection": "close"})
    answer = connection.getresponse()
    said = {name: value[:MOST_READ] for name, value in answer.getheaders()[:MOST_HEADERS]}
    return Answer(answer.status, said, _beginning(answer, connected, most_read))


def _beginning(answer: http.client.HTTPResponse, connected: socket.socket, most_read: int) -> bytes:
    """The body's first bytes, as far as they come in time."""
    read, ends_s = b"", monotonic() + BODY_WITHIN_S
    with suppress(OSError, http.client.HTTPException):
        while len(read) < most_read and (left_s := ends_s - monotonic()) > 0:
            connected.settimeout(left_s)
            if not (piece := answer.read1(most_read - len(read))):
                break
            read += piece
    return read

"""Calls to an address that somebody else chose: a client's server.

A registered address must not make this server speak to its own network (server-side request forgery): where
`public_only`, it is https, and every address its name stands for is a public one, looked up once and connected to as
it was looked up (a second look could answer otherwise). Redirects are not followed, of the answer only the status
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
from urllib.parse import SplitResult, urlencode, urlsplit

TIMEOUT_S = 5.0
"""Per network operation."""
DEADLINE_S = 10.0
"""Once connected, for asking and the status of the answer together, however slowly it trickles."""

MOST_ADDRESSES = 3
"""How many addresses of one name are tried. A name may stand for any number of them, each silent for `TIMEOUT_S`."""

_PORTS = {"https": 443, "http": 80}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressNotPublic(Exception):
    """The address is not https, or stands for a machine that is not on the public internet."""


def post_form(url: str, form: Mapping[str, str], *, public_only: bool) -> int:
    """POST a form and return the status. Raises AddressNotPublic, OSError, http.client.HTTPException."""
    parts = urlsplit(url)
    if parts.scheme not in ({"https"} if public_only else _PORTS) or not parts.hostname:
        raise AddressNotPublic
    port = parts.port or _PORTS[parts.scheme]
    addresses = _look_up(parts.hostname, port)
    if public_only and not all(map(is_public, addresses)):
        raise AddressNotPublic
    with (
        _connect(addresses[:MOST_ADDRESSES], port) as connected,
        _cut_in_time(connected),
        _secured(connected, parts) as speaking,
    ):
        return _ask(speaking, parts, urlencode(form))


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also when it carries an IPv4 address inside."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inside = parsed.ipv4_mapped or parsed.sixtofour
        if parsed in _NAT64:
            inside = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inside is not None:
            return is_public(str(inside))
    return parsed.is_global and not parsed.is_multicast


def _look_up(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def _connect(addresses: Sequence[str], port: int) -> socket.socket:
    """A connection to the first of the addresses that takes one."""
    for address in addresses[:-1]:
        with suppress(OSError):
            return socket.create_connection((address, port), timeout=TIMEOUT_S)
    return socket.create_connection((addresses[-1], port), timeout=TIMEOUT_S)


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


def _ask(connected: socket.socket, parts: SplitResult, body: str) -> int:
    connection = http.client.HTTPConnection(parts.netloc.rpartition("@")[2])
    connection.sock = connected
    headers = {
        "Host": connection.host if parts.port is None else f"{connection.host}:{parts.port}",
        "Content-Type": "application/x-www-form-urlencoded",
        "Connection": "close",
    }
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.request("POST", path, body, headers)
    return connection.getresponse().status

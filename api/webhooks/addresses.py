"""Which addresses may be called: public ones, looked at when the connection is made, so that no DNS answer can change after it.

An endpoint's URL is a tenant's text. Whoever calls it from inside a network lends the tenant its place there (SSRF), unless every
address is checked that a socket is opened for: one from a URL's literal, from DNS, or from DNS the second time (rebinding).
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from api.webhooks.errors import AddressRefused

URL_CHARS_MAX = 2_048
CONNECTIONS_MAX = 256
DNS_KEPT_S = 30

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Beyond what the standard library calls not global (which differs between versions of Python: that which matters stands here).
_REFUSED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers; a cloud's metadata too (100.100.100.200)
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's host agent, at a public address
        "169.254.0.0/16",  # link-local: metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",  # unspecified, loopback, and IPv4 in the oldest notation
        "64:ff9b::/96",  # IPv4 behind a translator, as are the next ones; no public receiver lives there alone
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def is_public(address: _Address) -> bool:
    """Whether an address is one of the public internet. IPv4 written as IPv6 counts as the IPv4 address."""
    plain = _plain(address)
    return plain.is_global and not plain.is_multicast and not any(_within(plain, network) for network in _REFUSED)


def check_url(url: str, *, allow_loopback: bool) -> None:
    """
    See that a URL may become an endpoint's: https, a host, no user name, no literal address that may not be called.

    `allow_loopback` (development) also allows http and https to this machine by its address or `localhost`. Names are not resolved
    here: that is done when a connection is made. Raises `AddressRefused`.
    """
    if len(url) > URL_CHARS_MAX:
        raise AddressRefused(f"a URL has at most {URL_CHARS_MAX} characters")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise AddressRefused("this is not a URL") from None
    if not host or parts.scheme not in ("http", "https"):
        raise AddressRefused("a webhook's URL begins with https:// and a host name")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("a webhook's URL holds no user name or password; signatures say who calls")
    literal = _literal(host)
    if parts.scheme != "https" and not (allow_loopback and (host == "localhost" or _is_loopback(literal))):
        raise AddressRefused("a webhook's URL begins with https://")
    if literal is not None:
        _check(literal, allow_loopback=allow_loopback)


def connector(*, allow_loopback: bool) -> aiohttp.TCPConnector:
    """A connector that opens sockets for addresses that may be called, and for no others: others end in `AddressRefused`."""

    def open_socket(address_info: Any) -> socket.socket:
        family, kind, protocol, _, where = address_info
        # The very address that is connected to next: whatever was resolved before, or will be later, doesn't matter.
        _check(ipaddress.ip_address(str(where[0]).partition("%")[0]), allow_loopback=allow_loopback)
        return socket.socket(family=family, type=kind, proto=protocol)

    return aiohttp.TCPConnector(
        limit=CONNECTIONS_MAX,
        ttl_dns_cache=DNS_KEPT_S,
        happy_eyeballs_delay=None,
        socket_factory=open_socket,
    )


def _check(address: _Address, *, allow_loopback: bool) -> None:
    if is_public(address) or (allow_loopback and _is_loopback(address)):
        return
    raise AddressRefused(f"{address} is not an address of the public internet; webhooks call no others")


def _plain(address: _Address) -> _Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def _is_loopback(address: _Address | None) -> bool:
    return address is not None and any(_within(_plain(address), network) for network in _LOOPBACK)


def _within(address: _Address, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return address.version == network.version and address in network


def _literal(host: str) -> _Address | None:
    """The address that a host is written as; also in the notations that a C library reads (`127.1`, `0x7f000001`, `2130706433`)."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None

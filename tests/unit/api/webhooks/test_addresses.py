"""Which addresses may be called, and that a socket is opened for no others."""

from __future__ import annotations

import ipaddress
import socket

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver

from api.webhooks import addresses
from api.webhooks.errors import AddressRefused

FORBIDDEN = [
    "127.0.0.1", "127.8.9.10", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.100.100.200",
    "168.63.129.16", "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1", "::", "::1", "::7f00:1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1",
]  # fmt: skip


class Resolver(AbstractResolver):
    """A resolver that answers differently each time, as an attacker's DNS server does."""

    def __init__(self, *answers):
        self.answers = list(answers)

    async def resolve(self, host, port=0, family=socket.AF_INET):
        address = self.answers.pop(0)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [{"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}]

    async def close(self):
        pass


@pytest.fixture
async def receiver():
    """A server on loopback that counts who gets through, and its port."""
    seen: list[str] = []

    async def answer(request):
        seen.append(request.path)
        return web.Response()

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield site._server.sockets[0].getsockname()[1], seen
    await runner.cleanup()


@pytest.mark.parametrize("text", FORBIDDEN)
def test_not_public(text):
    """Private, loopback, link-local, multicast, reserved, metadata and translated addresses are not public."""
    assert not addresses.is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]
)
def test_public(text):
    """Addresses beside those ranges are public."""
    assert addresses.is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "https://", "https:///x", "example.com", "https://me:pw@example.com/", "https://me@example.com",
        "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data", "https://example.com:99999/", "https://[fe80::1%25eth0]/", "https://e.com/" + "x" * 2048,
    ],
)  # fmt: skip
def test_urls_refused(url):
    """A URL that is not https to a host, or whose literal address isn't public in whatever notation, is refused."""
    with pytest.raises(AddressRefused):
        addresses.check_url(url, allow_loopback=False)


@pytest.mark.parametrize("url", ["https://example.com/hook?x=1", "https://example.com:8443/", "https://8.8.8.8/"])
def test_urls_taken(url):
    """A URL with https and a host is taken."""
    addresses.check_url(url, allow_loopback=False)


def test_development_allows_loopback_only():
    """The development setting allows http to this machine, and nothing else that was refused."""
    for url in ("http://127.0.0.1:80/", "http://localhost:1/", "http://[::1]/", "https://127.0.0.1/"):
        addresses.check_url(url, allow_loopback=True)
    for url in ("http://10.0.0.1/", "http://example.com/", "https://10.0.0.1/", "http://169.254.169.254/"):
        with pytest.raises(AddressRefused):
            addresses.check_url(url, allow_loopback=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_no_socket_for_a_refused_address(receiver, host):
    """A connection to an address that may not be called ends before a socket is opened; nothing reaches the server."""
    port, seen = receiver
    async with aiohttp.ClientSession(connector=addresses.connector(allow_loopback=False)) as session:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await session.get(f"http://{host}:{port}/")
    assert "public internet" in str(caught.value)
    assert seen == []


async def test_rebinding(receiver):
    """A name whose DNS answer changes after a connection was made with the first doesn't lead anywhere else: each connection is checked."""
    port, seen = receiver
    connector = addresses.connector(allow_loopback=True)
    connector._resolver = Resolver("127.0.0.1", "10.0.0.1")
    connector._use_dns_cache = False
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.get(f"http://name.example:{port}/first", headers={"Connection": "close"}) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientConnectorError, match="public internet"):
            await session.get(f"http://name.example:{port}/second")
    assert seen == ["/first"]

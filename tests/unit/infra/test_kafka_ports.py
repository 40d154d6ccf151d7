"""Free ports that stay free, and the ones that are not."""

from __future__ import annotations

import socket

import pytest

from infra.kafka import PortInUse, _ports


def test_free_ports_are_different_and_outside_the_ephemeral_range():
    """No client's outgoing connection can take a broker's port while the broker is down."""
    ports = _ports.free_ports(20)
    assert len(set(ports)) == 20
    start = int(_ports.EPHEMERAL_RANGE.read_text().split()[0])
    assert start <= _ports.LOWEST_PORT or all(_ports.LOWEST_PORT <= port < start for port in ports)
    _ports.require_free(*ports)


def test_a_port_in_use_is_named_with_its_remedy():
    """The error carries the port and says how to find who listens there."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        port = listener.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"Port {port} .*ss -ltnp") as caught:
            _ports.require_free(port)
        assert caught.value.port == port

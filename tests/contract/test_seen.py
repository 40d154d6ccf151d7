"""Counting which documented answers a run came to."""

from __future__ import annotations

import json

from tests.contract.seen import unseen


def line(method: str, path: str, status: int) -> str:
    """As a run writes it."""
    return json.dumps({"method": method, "path": path, "sent": "", "version": "", "status": status, "code": ""})


def test_what_no_line_has_is_told() -> None:
    """Of an operation its own statuses; one that was seen is not told, one of another operation or an unknown path counts for none."""
    everything = unseen([])
    for own in (("PostRefunds", "409"), ("PostRefunds", "200"), ("GetRefundsRefund", "404")):
        assert own in everything
    assert ("PostRefunds", "402") not in everything
    assert not [status for _, status in everything if status in ("401", "500")]
    rest = unseen([line("POST", "/v1/refunds", 409), line("GET", "/v1/refunds/re_1", 404), line("GET", "/x", 200)])
    assert sorted(set(everything) - set(rest)) == [("GetRefundsRefund", "404"), ("PostRefunds", "409")]

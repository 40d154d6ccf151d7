"""Waiting for what a caller wrote: how long, how often, and what is said of what is late."""

from __future__ import annotations

import itertools

import pytest
import stripe

from api.http.errors import headers_of
from api.reads import landed
from api.reads.errors import Unavailable
from schemas.catalogue import PAYMENTS_INPUTS
from schemas.records import Reply


class Late:
    """A warehouse in which nothing lands, or all does from some question on."""

    def __init__(self, *, landed_at: int | None = None) -> None:
        self.asked = 0
        self._landed_at = landed_at

    async def rows(self, _sql: str, parameters: dict) -> list[dict]:
        """What has landed of what is asked for."""
        self.asked += 1
        if self._landed_at is None or self.asked < self._landed_at:
            return []
        return [{"payment_id": one, "offset": 7} for one in parameters["payments"]]


def wrote(warehouse: Late) -> landed.Landed:
    """What knows of one write."""
    made = landed.Landed(warehouse)
    made.note(
        Reply(tenant="acme", payment_id="pi_1", status_code=200, cause_topic=PAYMENTS_INPUTS.name, cause_offset=7)
    )
    return made


async def test_what_never_lands_is_an_answer_that_says_when_to_come_again(monkeypatch) -> None:
    """503, worth another try, and not at once."""
    monkeypatch.setattr(landed, "DEADLINE_S", 0.2)
    made = wrote(Late())
    with pytest.raises(Unavailable) as raised:
        await made.wait("acme")
    assert raised.value.status == 503
    assert headers_of(raised.value) == {"Stripe-Should-Retry": "true", "Retry-After": "5"}
    assert made.waiting("acme") == 1, "it is waited for the next time too"
    await made.wait("globex")


async def test_what_lands_is_waited_for_once() -> None:
    """The wait ends with the landing, and the next one asks nobody."""
    warehouse = Late(landed_at=3)
    made = wrote(warehouse)
    await made.wait("acme")
    assert (warehouse.asked, made.waiting("acme")) == (3, 0)
    await made.wait("acme")
    assert warehouse.asked == 3


def test_pauses_grow_to_a_limit() -> None:
    """Short at first, since landing is quick; then so that a hundred who wait don't ask two thousand times a second."""
    pauses = list(itertools.islice(landed.pauses_s(), 8))
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (landed.PAUSE_S, landed.PAUSE_LONGEST_S)


def test_two_retries_see_out_a_minute() -> None:
    """Two further tries, also of an SDK that heeds no Retry-After, are enough for a landing that late, each within its own patience."""
    assert 3 * landed.DEADLINE_S >= 60
    assert min(stripe.RequestsClient()._timeout, 80) > landed.DEADLINE_S

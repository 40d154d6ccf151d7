"""Secrets of endpoints: sealed, rotated, valid for a time."""

from __future__ import annotations

import secrets as randomness

import pytest
from msgspec.structs import replace

from api.webhooks import secrets
from api.webhooks.signing import SECRETS_MAX
from schemas import codec
from schemas.errors import SealBroken
from schemas.records import WebhookEndpoint
from schemas.sealing import KEY_BYTES, MasterKeys


@pytest.fixture(scope="module")
def master():
    """A master key."""
    return MasterKeys([randomness.token_bytes(KEY_BYTES)])


def test_a_record_holds_no_secret_and_opens_for_its_endpoint_only(master):
    """What goes to the topic has nothing of the secret in clear, and it opens in no other tenant's or endpoint's record."""
    sealed = secrets.made(master, tenant="acme", endpoint_id="we_1")
    endpoint = WebhookEndpoint(tenant="acme", endpoint_id="we_1", secrets=(sealed,))
    secret = secrets.opened(master, endpoint, sealed)
    assert secret.startswith("whsec_")
    assert b"whsec_" not in codec.encode(endpoint)
    assert secret.encode() not in codec.encode(endpoint)
    for other in (replace(endpoint, tenant="globex"), replace(endpoint, endpoint_id="we_2")):
        with pytest.raises(SealBroken):
            secrets.opened(master, other, sealed)


def test_a_rotation_overlaps(master):
    """The new secret comes first, the old one ends when the overlap does, and an earlier end stays."""
    first, second, third = (secrets.made(master, tenant="acme", endpoint_id="we_1") for _ in range(3))
    both = secrets.rotated((first,), second, now_ms=1_000, overlap_s=60)
    assert [(one.sealed, one.expires_ms) for one in both] == [(second.sealed, 0), (first.sealed, 61_000)]
    three = secrets.rotated(both, third, now_ms=2_000, overlap_s=600)
    assert [one.expires_ms for one in three] == [0, 602_000, 61_000]
    assert len(secrets.valid(three, now_ms=60_999)) == 3
    assert [one.sealed for one in secrets.valid(three, now_ms=61_000)] == [third.sealed, second.sealed]


def test_without_overlap_the_old_one_ends_at_once(master):
    """With an overlap of nothing, only the new secret is left."""
    first, second = (secrets.made(master, tenant="acme", endpoint_id="we_1") for _ in range(2))
    assert secrets.rotated((first,), second, now_ms=1_000, overlap_s=0) == (second,)


def test_no_more_than_a_header_takes(master):
    """A rotation that would leave more valid secrets than a header takes is refused until one has ended."""
    made: tuple = ()
    for number in range(SECRETS_MAX):
        made = secrets.rotated(made, secrets.made(master, tenant="a", endpoint_id="we"), now_ms=number, overlap_s=100)
    new = secrets.made(master, tenant="a", endpoint_id="we")
    assert len(made) == SECRETS_MAX
    assert secrets.rotated(made, new, now_ms=10, overlap_s=100) is None
    assert secrets.rotated(made, new, now_ms=10, overlap_s=0) == (new,)

"""Signatures, checked by known answers and by the official SDK."""

from __future__ import annotations

import json
import time

import pytest
import stripe

from api.webhooks import signing
from api.webhooks.errors import BadSecret

OLD, NEW = "whsec_" + "a" * 32, "whsec_" + "b" * 32
BODY = json.dumps({"id": "evt_1", "object": "event", "type": "charge.succeeded", "data": {"object": {}}}).encode()


def test_known_answer():
    """The header is HMAC-SHA256 over time, dot and body, keyed with the whole secret (`openssl dgst -sha256 -hmac` gives the same)."""
    expected = "t=1700000000,v1=afaa56493698c58a9fa7b6e962c36042f7da56e94d2e36698043f7ce60eaf28a"
    assert signing.header(b'{"id":"evt_1"}', [OLD], timestamp_s=1_700_000_000) == expected


@pytest.mark.parametrize("known", [OLD, NEW])
def test_rotation_overlaps(known):
    """While two secrets overlap, a receiver that knows either of them accepts, by the SDK's own function."""
    header = signing.header(BODY, [NEW, OLD], timestamp_s=int(time.time()))
    assert stripe.Webhook.construct_event(BODY, header, known).id == "evt_1"


@pytest.mark.parametrize(("body", "known", "age_s"), [(BODY + b" ", NEW, 0), (BODY, OLD, 0), (BODY, NEW, 301)])
def test_refused_by_the_sdk(body, known, age_s):
    """The SDK refuses another body, another secret, and a signature that is older than five minutes."""
    header = signing.header(BODY, [NEW], timestamp_s=int(time.time()) - age_s)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, header, known)


def test_new_secrets_differ_and_sign():
    """A new secret has the form of one, and no two are the same."""
    made = [signing.new_secret() for _ in range(4)]
    assert len(set(made)) == 4
    assert signing.header(BODY, made, timestamp_s=1).count("v1=") == 4


@pytest.mark.parametrize("secret", ["", "whsec_short", "sk_test_" + "a" * 32, "whsec_" + "a" * 31 + ","])
def test_what_is_no_secret_signs_nothing(secret):
    """A text that is no signing secret is refused, and the error doesn't repeat it."""
    with pytest.raises(BadSecret) as caught:
        signing.header(BODY, [secret], timestamp_s=1)
    assert not secret or secret not in str(caught.value)


@pytest.mark.parametrize("count", [0, signing.SECRETS_MAX + 1])
def test_number_of_secrets(count):
    """None, or more than a header may hold, is refused."""
    with pytest.raises(ValueError, match="secrets"):
        signing.header(BODY, [NEW] * count, timestamp_s=1)

"""Signatures of webhook bodies in Stripe's scheme, which every SDK of theirs can check."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets as randomness
from collections.abc import Sequence

from api.webhooks.errors import BadSecret

HEADER = "Stripe-Signature"
PREFIX = "whsec_"
SECRETS_MAX = 4
"""Signatures in one header: a rotation overlaps two secrets; a second one, begun before the first has ended, three."""

_RANDOM_BYTES = 32
_FORM = re.compile(r"whsec_[A-Za-z0-9_-]{24,128}")


def new_secret() -> str:
    """A signing secret, `whsec_` and 64 hexadecimal digits: 256 random bits."""
    return PREFIX + randomness.token_hex(_RANDOM_BYTES)


def header(body: bytes, secrets: Sequence[str], *, timestamp_s: int) -> str:
    """
    The value of `Stripe-Signature` for exactly these bytes: `t=...,v1=...`, one v1 for each secret, in their order.

    A receiver accepts a body if any v1 matches, so that one that knows the old secret and one that knows the new both do.
    The secret's whole text is the key. Raises `BadSecret`, and `ValueError` for none or more than `SECRETS_MAX`.
    """
    if not 0 < len(secrets) <= SECRETS_MAX:
        message = f"a body is signed with 1 to {SECRETS_MAX} secrets, not {len(secrets)}"
        raise ValueError(message)
    signed = b"%d." % timestamp_s + body
    return f"t={timestamp_s}," + ",".join(f"v1={_signature(secret, signed)}" for secret in secrets)


def _signature(secret: str, signed: bytes) -> str:
    if not _FORM.fullmatch(secret):
        raise BadSecret(f"a signing secret begins with {PREFIX} and goes on with 24 to 128 letters, digits, _ or -")
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()

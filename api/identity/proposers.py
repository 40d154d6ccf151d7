"""Whoever proposed what is to be done with a payment or payout: whether they may still, when another person approves it."""

from __future__ import annotations

import asyncio

from confluent_kafka import KafkaException

from api.http._tables import Tables
from api.http.errors import InvalidRequest, NoAnswer
from api.identity import four_eyes

SCOPE = "operations:write"
OPERATOR_PREFIX = "op_"
"""Of every operator's id. Another name was given on the command line, which is the installation's own hand: who may run it is for the machine to say."""


async def check(tables: Tables, proposer: str, *, tenant: str, now_ms: int) -> None:
    """Refuse what somebody proposed who could not propose it now. By all that is committed. Raises `InvalidRequest`, `NoAnswer`."""
    try:
        await asyncio.to_thread(tables.catch_up)
    except KafkaException as error:
        raise NoAnswer from error
    refuse(tables, proposer, tenant=tenant, now_ms=now_ms)


def refuse(tables: Tables, proposer: str, *, tenant: str, now_ms: int) -> None:
    """The same, by what is in the tables. Raises `InvalidRequest`."""
    if not proposer.startswith(OPERATOR_PREFIX):
        return
    known = tables.tenants.get(tenant)
    organization = "" if known is None else known.organization
    if not four_eyes.may_still(
        tables, proposer, scope=SCOPE, organization=organization, tenant=tenant, object_id="", now_ms=now_ms
    ):
        message = "Whoever proposed this may not do so any more. Propose it anew if it is wanted."
        raise InvalidRequest(message, code="approval_not_possible")

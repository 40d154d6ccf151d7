"""On the command line: whether whoever proposed something about a payment may still, asked before another person's word is sent."""

from __future__ import annotations

import asyncio
import time

from confluent_kafka import KafkaException

from api.http._tables import Tables
from api.http.errors import ApiError
from api.identity import proposers
from api.reads.errors import Unavailable
from api.reads.owners import Owners
from api.reads.payments import Payments
from infra.errors import InfraError, KafkaUnreachable
from schemas.environment import Environment


class NotToBeApproved(InfraError):
    """Whoever proposed it may not propose it any more."""

    def __init__(self, proposal: str, error: ApiError) -> None:
        super().__init__(f"{proposal} was not approved", remedy=error.message)


class ProposalNotRead(InfraError):
    """No worker showed the payment, so that nobody knows who proposed what."""

    def __init__(self, payment: str) -> None:
        super().__init__(
            f"No worker shows {payment}, and an approval first asks who proposed",
            remedy="See that workers run (`clearline status`), and give this command their CLEARLINE_INTERNAL_TOKEN",
        )


def check_payment(settings: Environment, *, tenant: str, payment: str, proposal: str) -> None:
    """Raises `NotToBeApproved`, `ProposalNotRead`, `KafkaUnreachable`. What is not open any more is for the payment's fold to say."""
    try:
        proposer = asyncio.run(_proposer(settings, tenant, payment, proposal))
        check(settings, proposer, tenant=tenant, proposal=proposal)
    except Unavailable as error:
        raise ProposalNotRead(payment) from error
    except KafkaException as error:
        raise KafkaUnreachable(settings.kafka, error.args[0].str()) from error


def check(settings: Environment, proposer: str, *, tenant: str, proposal: str) -> None:
    """The same of somebody who is known; an empty name is nobody's. Raises `NotToBeApproved`, KafkaException."""
    if not proposer:
        return
    tables = Tables(settings.kafka, dict(settings.kafka_config), failed=lambda _error: None)
    try:
        tables.read()
        proposers.refuse(tables, proposer, tenant=tenant, now_ms=time.time_ns() // 1_000_000)
    except ApiError as error:
        raise NotToBeApproved(proposal, error) from error
    finally:
        tables.close()


async def _proposer(settings: Environment, tenant: str, payment: str, proposal: str) -> str:
    """Who made the open proposal of that id; empty where there is none."""
    owners = Owners(settings.kafka, dict(settings.kafka_config), failed=lambda _error: None)
    payments = Payments(owners, token=settings.internal_token)
    try:
        await owners.start()
        await payments.start()
        view = await payments.get(tenant, payment)
    finally:
        await payments.close()
        await owners.close()
    proposed = None if view is None else view.proposal
    return "" if proposed is None or proposed.id != proposal else proposed.proposed_by

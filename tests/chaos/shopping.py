"""Customers under load: they are made and changed, save methods at once or by setup intents, lose some, and are deleted."""

from __future__ import annotations

import random
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from schemas import catalogue, codec
from schemas.ids import customer_id, method_id, setup_id
from schemas.records import Attribution, CustomerCommand

EVERY_S = (0.05, 0.4)
KNOWN_MAX = 40
"""Customers of a tenant that something happens to; those before them are left alone."""

TENANTS = ("acme", "globex", "initech", "petrogulf", "tiny")
_TOKENS = {
    "pm_card_visa": 50,
    "pm_card_mastercard": 20,
    "pm_card_authenticationRequired": 20,
    "pm_card_chargeDeclined": 5,
    "pm_card_chargeCustomerFail": 5,
}
_STORIES = {"_create": 30, "_attach": 25, "_set_up": 20, "_update": 12, "_detach": 7, "_delete": 6}
# Of the commands, so many have somebody who waits for the answer; a wish of nobody's that can't be met is a rejection.
AWAITED = 0.7


class Shopping:
    """Sends commands about customers; `send` takes topic, key and value. What was asked last may not have happened yet."""

    def __init__(self, send: Callable[[str, str, bytes], None], *, seed: int, reply_partitions: int) -> None:
        self._send, self._reply_partitions = send, reply_partitions
        self._chance = random.Random(f"customers of {seed}")
        self._name = f"chaos-{seed}"
        self._customers: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=KNOWN_MAX))
        self._methods: dict[str, list[str]] = defaultdict(list)
        self._next = time.monotonic()
        self._number = 0

    @property
    def asked(self) -> int:
        """Commands sent."""
        return self._number

    def work(self, *, more: bool) -> None:
        """The next story, when its time has come and there shall be `more`."""
        if more and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._chance.uniform(*EVERY_S)
            tenant = self._chance.choice(TENANTS)
            story = self._chance.choices(list(_STORIES), weights=list(_STORIES.values()))[0]
            getattr(self, story if self._customers[tenant] else "_create")(tenant)

    def somebody(self, tenant: str) -> str:
        """One of the tenant's customers; empty: there is none."""
        known = self._customers[tenant]
        return self._chance.choice(known) if known else ""

    def _create(self, tenant: str) -> None:
        key = self._key()
        customer = customer_id(tenant, key)
        self._put(tenant, "create_customer", customer, key, metadata={"came": "by the load"})
        self._customers[tenant].append(customer)

    def _attach(self, tenant: str) -> None:
        key, customer = self._key(), self.somebody(tenant)
        method = method_id(tenant, key)
        self._put(tenant, "attach_method", method, key, customer=customer, token=self._token())
        self._methods[customer].append(method)

    def _set_up(self, tenant: str) -> None:
        """Confirmed at once or later; a challenge is passed or not; some are called off."""
        key, customer, chance = self._key(), self.somebody(tenant), self._chance
        setup, now, token = setup_id(tenant, key), chance.random() < 0.6, self._token()
        self._put(tenant, "create_setup", setup, key, customer=customer, token=token, usage="off_session", confirm=now)
        if not now and chance.random() < 0.8:
            self._put(tenant, "confirm_setup", setup, self._key())
        if token == "pm_card_authenticationRequired" and chance.random() < 0.8:
            self._put(tenant, "complete_action", setup, self._key(), succeeded=chance.random() < 0.7)
        elif chance.random() < 0.3:
            self._put(tenant, "cancel_setup", setup, self._key(), reason="abandoned")

    def _update(self, tenant: str) -> None:
        customer = self.somebody(tenant)
        methods = self._methods[customer]
        default = self._chance.choice(methods) if methods else None
        metadata = {"seen": str(self._number)}
        self._put(tenant, "update_customer", customer, self._key(), default_method=default, metadata=metadata)

    def _detach(self, tenant: str) -> None:
        methods = self._methods[self.somebody(tenant)]
        if methods:
            self._put(tenant, "detach_method", methods.pop(0), self._key())

    def _delete(self, tenant: str) -> None:
        """It stays among those that something happens to: what is asked about it from now on is refused."""
        self._put(tenant, "delete_customer", self.somebody(tenant), self._key())

    def _key(self) -> str:
        self._number += 1
        return f"{self._name}/customer/{self._number}"

    def _token(self) -> str:
        return self._chance.choices(list(_TOKENS), weights=list(_TOKENS.values()))[0]

    def _put(self, tenant: str, kind: str, object_id: str, key: str, **fields: Any) -> None:
        if self._chance.random() < AWAITED:
            fields |= {"reply_partition": self._chance.randrange(self._reply_partitions), "correlation_id": key}
        who = Attribution(
            actor_kind="api_key", actor_id="key_chaos", on_behalf_of=tenant, request_id=key, idempotency_key=key
        )
        command = CustomerCommand(
            tenant=tenant,
            object_id=object_id,
            kind=kind,  # type: ignore[arg-type]
            attribution=who,
            **fields,
        )
        self._send(catalogue.CUSTOMERS_INPUTS.name, tenant, codec.encode(command))

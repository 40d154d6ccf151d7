"""One stack for the tests of this folder: broker, warehouse, simulator, gateway, a worker, landing and the API, each its own process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import stripe

from api.identity import oidc
from api.identity.roles import ROLES
from infra.kafka import Broker, prepare_quick_starts
from tests.integration._house import House
from tests.integration.api._answers import Watched
from tests.integration.api._asking import served
from tests.integration.api._office import CLIENT_ID, TIMEOUT_S, Office, close_browsers, issuing, opened

PARTITIONS = 4
STARTED = ("identity", "warehouse", "simulator", "gateway", "worker-0", "landing", "webhooks", "api")


@dataclass(frozen=True)
class RunningApi:
    """Where the API is, and how to get keys for it."""

    house: House
    url: str

    def key(self, tenant: str, *options: str) -> str:
        """A new key of the tenant, by the command that people use."""
        done = self.house.clearline("keys", "create", tenant, *options)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def client(self, key: str, **options) -> stripe.StripeClient:
        """Stripe's own client, told nothing but where we are."""
        return stripe.StripeClient(key, base_addresses={"api": self.url}, http_client=Watched(), **options)


@pytest.fixture(scope="package")
def api(tmp_path_factory):
    """The running API."""
    prepare_quick_starts()
    directory = tmp_path_factory.mktemp("api")
    broker = Broker(directory / "kafka", quick=True)
    house = None
    try:
        broker.start()
        house = House(
            broker.bootstrap,
            directory,
            CLEARLINE_PARTITIONS=str(PARTITIONS),
            CLEARLINE_TICK_MS="500",
            CLEARLINE_WEBHOOKS_ALLOW_LOOPBACK="1",
            CLEARLINE_DEVELOPMENT_ISSUER="1",
        )
        house.configure()
        started = [house.start(name) for name in STARTED]
        for process in started:
            process.ready()
        yield RunningApi(house, f"http://127.0.0.1:{house.ports.api}")
    finally:
        if house is not None:
            house.close()
        broker.kill()


@pytest.fixture(scope="package")
def acme(api) -> stripe.StripeClient:
    """A client with a secret key of the tenant acme."""
    return api.client(api.key("acme"))


@pytest.fixture(scope="package")
def office(api) -> Iterator[Office]:
    """An organisation whose people sign in at an issuer of the test's, with the API in the test's own process."""
    with pytest.MonkeyPatch.context() as patch, issuing() as issuer:
        patch.setenv("CLEARLINE_OIDC_ISSUER", issuer.url)
        patch.setenv("CLEARLINE_OIDC_CLIENT_ID", CLIENT_ID)
        patch.setattr(oidc, "TIMEOUT_S", TIMEOUT_S)
        with served(api.house.environment, patch) as port:
            made = opened(api.house, port, issuer, f"office-{port}")
            for role in ROLES:
                made.add(role, role)
            made.add("second", "admin")
            yield made
            close_browsers()

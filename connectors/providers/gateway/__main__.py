"""`python -m connectors.providers.gateway`: calls payment providers for the requests on `provider.requests`.

Reads the shared CLEARLINE_* variables, `CLEARLINE_PROVIDERS` (JSON: name to {"kind", "url"}) and `CLEARLINE_GATEWAY` (JSON: see
`_settings.GatewaySettings`).
"""

from __future__ import annotations

import asyncio
import logging
import os

from connectors.providers.errors import ConfigurationError
from connectors.providers.gateway import _service, _settings
from schemas import deadman, environment, logs, stopping
from schemas.clients import client_config

log = logging.getLogger("clearline.gateway")


def _run() -> None:
    given = environment.read()
    settings, configured = _settings.gateway(os.environ), _settings.providers(os.environ)
    kafka = client_config(given.kafka, dict(given.kafka_config))
    _service.check_topics(kafka, replication=given.replication)
    log.info("starting %s with %s", given.worker, ", ".join(sorted(configured)))
    asyncio.run(_service.run(kafka, worker=given.worker, settings=settings, configured=configured))


def main() -> int:
    """Run until a signal; 0 when told to stop, otherwise a status of `schemas.stopping`."""
    logs.start("gateway")
    deadman.arm()
    return stopping.status(
        _run,
        log=log,
        called="gateway",
        refused=ConfigurationError,
        kept="nothing is lost, open requests are repeated under the same keys",
    )


if __name__ == "__main__":
    stopping.leave(main())

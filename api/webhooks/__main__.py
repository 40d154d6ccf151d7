"""`python -m api.webhooks`: tells tenants' endpoints of events until SIGTERM.

Reads the shared CLEARLINE_* variables, `CLEARLINE_WEBHOOKS` (JSON: see `_settings.Settings`) and, for development,
`CLEARLINE_WEBHOOKS_ALLOW_LOOPBACK`.
"""

from __future__ import annotations

import asyncio
import logging
import os

from api.webhooks import _settings
from api.webhooks.errors import ConfigurationError
from api.webhooks.service import Sender, check_topics
from schemas import deadman, environment, logs, stopping
from schemas.clients import client_config
from schemas.sealing import read_master_keys

log = logging.getLogger("clearline.webhooks")


async def _run(given: environment.Environment) -> None:
    settings, loopback = _settings.webhooks(os.environ), _settings.allow_loopback(os.environ)
    if given.master_key is None:
        raise ConfigurationError(
            f"{environment.MASTER_KEY} is not set, so nothing can be signed; name the file of master keys"
        )
    kafka = client_config(given.kafka, dict(given.kafka_config))
    check_topics(kafka)
    log.info("starting %s%s", given.worker, ", with endpoints on this machine allowed" if loopback else "")
    sender = Sender(
        kafka,
        worker=given.worker,
        settings=settings,
        master=read_master_keys(given.master_key),
        allow_loopback=loopback,
        data=given.data,
    )
    await sender.run()


def main() -> int:
    """Run until a signal; 0 when told to stop, otherwise a status of `schemas.stopping`."""
    logs.start("webhooks")
    deadman.arm()
    return stopping.status(
        lambda: asyncio.run(_run(environment.read())),
        log=log,
        called="sender",
        refused=ConfigurationError,
        kept="nothing is lost, what was open is done again",
    )


if __name__ == "__main__":
    stopping.leave(main())

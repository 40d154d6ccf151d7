"""`python -m api.webhooks`: tells tenants' endpoints of events until SIGTERM.

Reads the shared CLEARLINE_* variables, `CLEARLINE_WEBHOOKS` (JSON: see `_settings.Settings`) and, for development,
`CLEARLINE_WEBHOOKS_ALLOW_LOOPBACK`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from confluent_kafka import KafkaException

from api.webhooks import _settings
from api.webhooks.errors import ConfigurationError, Fenced, WebhooksStopped
from api.webhooks.service import Sender, check_topics
from schemas import deadman, environment, logs
from schemas.clients import client_config
from schemas.environment import VariableError
from schemas.errors import MasterKeysUnusable
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
    """Run until a signal; 0 when told to stop, otherwise 1 (configuration), 2 (stopped) or 3 (fenced)."""
    logs.start("webhooks")
    deadman.arm()
    try:
        asyncio.run(_run(environment.read()))
    except VariableError as error:
        log.critical("%s; %s", error, error.remedy)
        return 1
    except MasterKeysUnusable as error:
        log.critical("%s; %s", error, error.remedy)
        return 1
    except ConfigurationError as error:
        log.critical("%s", error)
        return 1
    except Fenced as error:
        log.critical("%s; give each sender a CLEARLINE_WORKER of its own", error)
        return 3
    except WebhooksStopped as error:
        log.critical("%s", error)
        return 2
    except KafkaException as error:
        log.critical("Kafka: %s; check the broker, then start again", error.args[0].str())
        return 2
    except Exception:
        log.critical("stopped by a fault; nothing is lost, what was open is done again", exc_info=True)
        return 2
    log.info("stopped")
    return 0


if __name__ == "__main__":
    # A thread that still waits for Kafka must not keep a stopping process alive.
    code = main()
    sys.stdout.flush()
    os._exit(code)

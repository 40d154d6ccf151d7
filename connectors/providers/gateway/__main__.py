"""`python -m connectors.providers.gateway`: calls payment providers for the requests on `provider.requests`.

Reads the shared CLEARLINE_* variables, `CLEARLINE_PROVIDERS` (JSON: name to {"kind", "url"}) and `CLEARLINE_GATEWAY` (JSON: see
`_settings.GatewaySettings`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from confluent_kafka import KafkaException

from connectors.providers.errors import ConfigurationError, Fenced, GatewayStopped
from connectors.providers.gateway import _service, _settings
from schemas import deadman, environment, logs
from schemas.clients import client_config
from schemas.environment import VariableError

log = logging.getLogger("clearline.gateway")


def main() -> int:
    """Run until a signal; 0 when told to stop, otherwise 1 (configuration), 2 (stopped) or 3 (fenced)."""
    logs.start("gateway")
    deadman.arm()
    try:
        given = environment.read()
        settings, configured = _settings.gateway(os.environ), _settings.providers(os.environ)
        kafka = client_config(given.kafka, dict(given.kafka_config))
        _service.check_topics(kafka, replication=given.replication)
        log.info("starting %s with %s", given.worker, ", ".join(sorted(configured)))
        asyncio.run(_service.run(kafka, worker=given.worker, settings=settings, configured=configured))
    except VariableError as error:
        log.critical("%s; %s", error, error.remedy)
        return 1
    except ConfigurationError as error:
        log.critical("%s", error)
        return 1
    except Fenced as error:
        log.critical("%s; give each gateway a CLEARLINE_WORKER of its own", error)
        return 3
    except GatewayStopped as error:
        log.critical("%s", error)
        return 2
    except KafkaException as error:
        log.critical("Kafka: %s; check the broker, then start again", error.args[0].str())
        return 2
    except Exception:
        log.critical(
            "stopped by a fault; nothing is lost, open requests are repeated under the same keys", exc_info=True
        )
        return 2
    log.info("stopped")
    return 0


if __name__ == "__main__":
    # A thread that still waits for Kafka must not keep a stopping process alive.
    code = main()
    sys.stdout.flush()
    os._exit(code)

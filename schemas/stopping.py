"""How a process that lives by Kafka ends: what it raises, the last line that it leaves, and its status."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException

from schemas.environment import VariableError
from schemas.errors import MasterKeysUnusable, TopicUnread

CONFIGURED_WRONG, STOPPED, FENCED = 1, 2, 3
"""What a supervisor sees; 0 after it was told to stop."""

_NO_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION)


class Stopped(Exception):
    """The process can't go on and leaves itself to its supervisor; what it had not committed is done again by the next one."""


class Fenced(Stopped):
    """Another process took over this one's place in the group or its transactional id; what it does no longer counts."""


def check(error: KafkaError, log: logging.Logger) -> None:
    """What a consumer is told instead of a record: raises `Fenced` or `Stopped` when it can't go on, else says it."""
    if error.code() == KafkaError.FENCED_INSTANCE_ID:
        raise Fenced(f"another process with this CLEARLINE_WORKER runs: {error.str()}")
    # An error event of a consumer that is finished for good has this code, and `fatal()` says no all the same. It comes once; whoever passes
    # over it polls a dead consumer for ever. A broker that is killed amid a join can fence a static member by its own retry.
    if error.code() == KafkaError._FATAL:
        raise Stopped(f"Kafka ended this consumer: {error.str()}; start again, what was open is done again")
    if error.fatal() or error.code() in _NO_TOPIC:
        raise Stopped(f"Kafka: {error.str()}; make the topics of the catalogue, then start again")
    log.warning("Kafka: %s", error.str())


def status(run: Callable[[], None], *, log: logging.Logger, called: str, refused: type[Exception], kept: str) -> int:
    """
    Run until it returns or raises; a status, after a last line that says what to do.

    `called`: what such a process is called; `refused`: its error of a setting; `kept`: what becomes of its work when a fault of ours ends it.
    """
    try:
        run()
    except (VariableError, MasterKeysUnusable) as error:
        log.critical("%s; %s", error, error.remedy)
        return CONFIGURED_WRONG
    except refused as error:
        log.critical("%s", error)
        return CONFIGURED_WRONG
    except Fenced as error:
        log.critical("%s; give each %s a CLEARLINE_WORKER of its own", error, called)
        return FENCED
    except (Stopped, TopicUnread) as error:
        log.critical("%s", error)
        return STOPPED
    except KafkaException as error:
        log.critical("Kafka: %s; check the broker, then start again", error.args[0].str())
        return STOPPED
    except Exception:
        log.critical("stopped by a fault; %s", kept, exc_info=True)
        return STOPPED
    log.info("stopped")
    return 0


def leave(code: int) -> None:
    """End at once with this status: a thread that still waits for Kafka must not keep a stopping process alive."""
    sys.stdout.flush()
    os._exit(code)

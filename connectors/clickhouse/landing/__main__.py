"""`python -m connectors.clickhouse.landing`: lands until it gets SIGTERM."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from confluent_kafka import KafkaException

from connectors.clickhouse import migrate
from connectors.clickhouse.client import Client, connect
from connectors.clickhouse.errors import WarehouseError
from connectors.clickhouse.landing._health import serve
from connectors.clickhouse.landing._landing import Landing, Stopped
from schemas import deadman, environment, logs

STOP_GRACE_S = 5
"""How long a stop waits for the batch in hand. Cutting it off does no harm: the next start completes it."""

_log = logging.getLogger("landing")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one landing process; its status is 0 after SIGTERM, 1 after an error, 2 when it was told nonsense."""
    options = _options(arguments)
    logs.start("landing")
    for library in ("urllib3", "clickhouse_connect"):
        logging.getLogger(library).setLevel(logging.ERROR)  # they warn at each try; we say what is awaited, once
    deadman.arm()
    try:
        told = environment.read()
    except environment.VariableError as error:
        _log.critical("%s; %s", error, error.remedy)
        return 2
    share, shares = options.share

    def open_warehouse() -> Client:
        return connect(told.warehouse) if options.no_migrate else migrate.open_database(told.warehouse)

    landing = Landing(
        connect=open_warehouse,
        bootstrap=told.kafka,
        kafka_config=told.kafka_config,
        share=share - 1,
        shares=shares,
        migrating=not options.no_migrate,
    )
    _stop_on_signals(landing)
    try:
        if options.health_port is not None:
            port = serve(landing.status, options.health_port)
            _log.info("health at http://127.0.0.1:%d/health", port)
        landing.run()
    except Stopped:
        _log.info("stopped amid a statement; the batch is completed at the next start")
    except (WarehouseError, KafkaException, OSError) as error:
        _log.critical("%s: %s", type(error).__name__, error)
        return 1
    return 0


def _stop_on_signals(landing: Landing) -> None:
    def cut_off(_number: int, _frame: FrameType | None) -> None:
        raise Stopped

    def stop(_number: int, _frame: FrameType | None) -> None:
        landing.stop()
        signal.alarm(STOP_GRACE_S)

    assert threading.current_thread() is threading.main_thread()
    signal.signal(signal.SIGALRM, cut_off)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m connectors.clickhouse.landing",
        description="Lands payments.events, settlement.events, payments.inputs, customers.events, records.rejected and webhooks.attempts in ClickHouse, each record once. "
        "Told by CLEARLINE_KAFKA, CLEARLINE_KAFKA_CONFIG and CLEARLINE_CLICKHOUSE.",
    )
    parser.add_argument(
        "--health-port", type=int, metavar="PORT", help="answer GET /health on 127.0.0.1; 0: any free port"
    )
    parser.add_argument(
        "--share",
        type=_share,
        default=(1, 1),
        metavar="I/N",
        help="land only the I-th of N shares of the partitions (default 1/1); run one process for each",
    )
    parser.add_argument("--no-migrate", action="store_true", help="only check that the tables are up to date")
    return parser.parse_args(arguments)


def _share(text: str) -> tuple[int, int]:
    first, _, last = text.partition("/")
    if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit() and 1 <= int(first) <= int(last)):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N with I from 1 to N")
    return int(first), int(last)


if __name__ == "__main__":
    sys.exit(main())

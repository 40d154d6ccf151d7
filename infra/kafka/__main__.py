"""`python -m infra.kafka --data DIR --port P`: becomes the broker, for a supervisor to watch."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click

from infra.kafka import _ports
from infra.kafka._launch import die_with_parent
from infra.kafka._node import DEFAULT_HEAP_MB, Node, new_cluster_id
from infra.kafka.errors import KafkaError


@click.command()
@click.option("--data", "data_dir", type=click.Path(path_type=Path), required=True, help="Data directory.")
@click.option("--port", type=click.IntRange(1, 65_534), default=9092, show_default=True, help="Port for clients.")
@click.option("--controller-port", type=click.IntRange(0, 65_535), default=0, help="By default the next after --port.")
@click.option("--heap-mb", type=click.IntRange(128, 65_536), default=DEFAULT_HEAP_MB, show_default=True)
@click.option("--quick", is_flag=True, help="Start faster, run slower: for tests.")
@click.option("--parent", type=int, default=None, help="Pid of the supervisor; do not start if it is gone already.")
def main(data_dir: Path, *, port: int, controller_port: int, heap_mb: int, quick: bool, parent: int | None) -> None:
    """Run one Kafka broker in the foreground; SIGTERM ends it in order (status 143, as of any Java program)."""
    try:
        die_with_parent(signal.SIGTERM, parent)
        controller_port = controller_port or port + 1
        _ports.require_free(port, controller_port)
        command = Node(data_dir, heap_mb=heap_mb, quick=quick, console=True).prepare(
            port=port, controller_port=controller_port, voters={1: controller_port}, cluster_id=new_cluster_id()
        )
    except KafkaError as error:
        click.echo(f"ERROR kafka {error}", err=True)
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted: signals must reach Java


if __name__ == "__main__":
    main()

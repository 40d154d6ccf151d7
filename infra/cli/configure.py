"""`clearline configure FILE`: tenants and routing policies into Kafka."""

from __future__ import annotations

import os
from pathlib import Path

import click

from infra.cli._console import console, data_option
from infra.configure import apply
from infra.stack import reach
from schemas import environment


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@data_option
def configure(*, file: Path, data: Path) -> None:
    """Apply the tenants and routing policies of FILE (TOML or YAML), all at once; what is so already is left.

    infra/defaults.toml is an example with every field. A tenant that FILE doesn't name stays as it is; to stop one, give it
    status = "suspended".
    """
    settings = environment.read(reach(data, os.environ))
    report = apply(settings.kafka, file, extra_config=dict(settings.kafka_config))
    out = console()
    out.print(f"tenants written: {', '.join(report.tenants_written) or 'none'}")
    out.print(f"policies written: {', '.join(name or '(default)' for name in report.policies_written) or 'none'}")
    if report.left_alone:
        out.print(f"not in the file and left as they are: {', '.join(report.left_alone)}")

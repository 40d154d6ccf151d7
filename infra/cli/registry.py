"""`clearline registry`: our contracts, and external schema registries."""

from __future__ import annotations

import click

from api.registry.register import Registered
from api.registry.register import register as register_all
from infra.cli._console import console
from schemas.contracts import all_contracts


@click.group()
def registry() -> None:
    """List the contracts, or register them in an external schema registry.

    `clearline up` serves them itself, read-only, in the REST shape of Confluent's registry.
    """


@registry.command("list")
def list_contracts() -> None:
    """Print id, subject and version of every committed contract."""
    for contract in all_contracts():
        click.echo(f"{contract.id:5} {contract.subject} version {contract.version}")


@registry.command()
@click.option("--url", required=True, metavar="URL", help="Address of the registry; may hold user:password@.")
def register(*, url: str) -> None:
    """Register every contract in an external registry, under our ids; what is there already stays.

    The ids matter: every record on a topic carries one. Ends with an error when the registry can't take them.
    """
    out = console()

    def show(done: Registered) -> None:
        state = "was there" if done.already else "registered"
        out.print(f"{done.id:5} {done.subject} version {done.version}: {state}")

    done = register_all(url, progress=show)
    added = sum(not entry.already for entry in done)
    out.print(f"{len(done)} versions are there with our ids; {added} were registered now")

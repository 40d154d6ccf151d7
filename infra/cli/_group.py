"""The group behind `clearline`: imports a command's module when it is used, and shows errors as two lines."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Mapping
from typing import Any

import click

from infra.cli._console import print_error

CommandTable = Mapping[str, tuple[str, str]]

INTERRUPTED_STATUS = 130  # as shells have it
UNEXPECTED_REMEDY = "this should not happen; run it again as `clearline --debug …` and report what it prints"


class LazyGroup(click.Group):
    """A group whose commands stand in a table: name → (`module:function`, short help)."""

    def __init__(self, *arguments: Any, commands_by_name: CommandTable, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._table = commands_by_name

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the table's order."""
        return [*self._table, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return the command."""
        if cmd_name not in self._table:
            return super().get_command(ctx, cmd_name)
        module, _, function = self._table[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table, importing none of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._table.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for an unknown one, name those that there are."""
        if args and not args[0].startswith("-") and args[0] not in self._table:
            ctx.fail(f"there is no command {args[0]!r}; there are: {', '.join(self._table)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error becomes two lines and a status, unless --debug asks for its traceback."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:  # `clearline logs | head`
            sys.stderr.close()
            sys.exit(0)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED_STATUS)
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            remedy = getattr(error, "remedy", None)
            message = str(error) if remedy else f"{type(error).__name__}: {error}"
            print_error(message, remedy=remedy or UNEXPECTED_REMEDY, details=getattr(error, "last_lines", []))
            sys.exit(getattr(error, "exit_status", 1))


def version() -> str:
    """Return the installed version; a checkout that isn't installed says so."""
    try:
        return importlib.metadata.version("clearline")
    except importlib.metadata.PackageNotFoundError:
        return "0 (not installed)"

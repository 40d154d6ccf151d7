"""The `clearline` command: a table of commands, each in a module of its own that is imported when it is used."""

from __future__ import annotations

import click

from infra.cli._group import CommandTable, LazyGroup, version

# name → (module:function, what `clearline --help` says). The module is imported when the command runs.
COMMANDS: CommandTable = {
    "demo": ("infra.cli.demo:demo", "Run everything once on 10,000 payments and check the figures."),
    "up": ("infra.cli.up:up", "Start the stack and keep it running."),
    "down": ("infra.cli.down:down", "Stop the running stack."),
    "status": ("infra.cli.status:status", "Show the stack's processes and whether they are well."),
    "logs": ("infra.cli.logs:logs", "Print the logs of the stack's processes."),
    "send": ("infra.cli.send:send", "Send payment intents from a file."),
    "sql": ("infra.cli.sql:sql", "Ask the warehouse a question in SQL."),
    "tail": ("infra.cli.tail:tail", "Print the records of a topic as they come, decoded."),
    "topics": ("infra.cli.topics:topics", "List the topics and how they stand; create them."),
    "payments": ("infra.cli.payments:payments", "Ask for something about one payment, as an operator."),
    "payouts": ("infra.cli.payouts:payouts", "See payouts that nobody can be sure of, and decide on them."),
    "configure": ("infra.cli.configure:configure", "Apply tenants and routing policies from a file."),
    "keys": ("infra.cli.keys:keys", "Make, list, revoke and rotate API keys."),
    "tenants": ("infra.cli.tenants:tenants", "Show tenants, and set what they pay."),
    "organizations": ("infra.cli.people:organizations", "Make organisations; say which tenants are whose."),
    "operators": ("infra.cli.people:operators", "Add people who sign in, and take them out."),
    "customers": ("infra.cli.customers:customers", "Show or erase the personal data of a customer."),
    "replay": ("infra.cli.replay:replay", "Fold the input log again and compare all that was recorded."),
    "registry": ("infra.cli.registry:registry", "List the contracts; register them elsewhere."),
}


@click.group(
    cls=LazyGroup,
    commands_by_name=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(version(), prog_name="clearline", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(*, debug: bool) -> None:
    """Clearline carries payments from charge to settlement on Kafka, Faust and ClickHouse.

    `clearline up` starts everything on this machine; set CLEARLINE_KAFKA or CLEARLINE_CLICKHOUSE to use your own
    Kafka or ClickHouse instead of the embedded ones. Everything is kept in one data directory (./.clearline).
    """
    del debug  # read by the group, which shows the errors

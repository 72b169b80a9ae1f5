"""`foyer …`: the command line.

options.py          options that commands share, and the settings they make
opening.py          the database and keys, whether the server runs or not
failures.py         errors as one sentence and an exit code
exit_codes.py       the codes
output.py           what commands print
without_rich.py     a smaller server
serve.py users.py tokens.py config_commands.py admin.py media.py    the commands
chat is a client, in e2e/client/chat/

A command's module is loaded when the command is named: each needs other parts of the server, and
loading them all would take longer than most commands.
"""

import sys
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from homeserver.cli.exit_codes import EXIT_CODES_HELP

_FAILURES = (Exception, KeyboardInterrupt)

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "serve": (
            "homeserver.cli.serve",
            "Run the server until it is stopped with Ctrl-C or SIGTERM.",
        ),
        "user": (
            "homeserver.cli.users",
            "Accounts: works while the server runs and while it is stopped.",
        ),
        "token": ("homeserver.cli.tokens", "Access tokens for programs."),
        "config": ("homeserver.cli.config_commands", "Check and show the configuration."),
        "admin": ("homeserver.cli.admin", "Look after the server's data."),
        "media": (
            "homeserver.cli.media",
            "Run the media repository alone, or look after files.",
        ),
        "chat": (
            "e2e.client.chat.command_line",
            "Talk in encrypted rooms, on any Matrix homeserver or over Foyer's own protocol.",
        ),
    }
)
"""Name, module whose `app` it is, and what the list of commands says about it."""


class _Commands(TyperGroup):
    """Lists all commands, and loads the one that is named."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (_, line) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=line))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] in COMMANDS:
            self.add_command(load(args[0]), args[0])
        return super().resolve_command(ctx, args)


def load(name: str) -> Any:
    """The command with this name."""
    from homeserver.cli import without_rich  # noqa: F401, PLC0415 - before what logs

    module, _ = COMMANDS[name]
    command = typer.main.get_command(import_module(module).app)
    command.name = name
    return command


app = typer.Typer(
    name="foyer",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Foyer: a Matrix homeserver that is also a plain team-chat server.",
    epilog=EXIT_CODES_HELP,
)


@app.callback()
def foyer() -> None:
    """Has commands only."""


def main() -> None:
    """The program. An error that whoever calls it can mend is one sentence on standard error."""
    try:
        app(prog_name="foyer")
    except _FAILURES as error:
        # It names the errors of every part, which no command needs as long as all is well.
        from homeserver.cli.failures import exit_code, sentence  # noqa: PLC0415

        code = exit_code(error)
        if code is None:
            raise
        sys.stderr.write(f"foyer: {sentence(error)}\n")
        sys.exit(code)

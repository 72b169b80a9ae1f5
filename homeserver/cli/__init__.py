"""`foyer …`: the command line.

options.py          options that commands share, and the settings they make
opening.py          the database and keys, whether the server runs or not
failures.py         errors as one sentence and an exit code
output.py           what commands print
without_rich.py     a smaller server
serve.py users.py tokens.py config_commands.py admin.py media.py    the commands
chat is a client, in e2e/client/chat/
"""

import sys

import typer

from homeserver.cli import without_rich  # noqa: F401 - before what logs

# isort: split
from homeserver.cli import admin, config_commands, media, serve, tokens, users
from homeserver.cli.failures import EXIT_CODES_HELP, exit_code, sentence

_FAILURES = (Exception, KeyboardInterrupt)

app = typer.Typer(
    name="foyer",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Foyer: a Matrix homeserver that is also a plain team-chat server.",
    epilog=EXIT_CODES_HELP,
)
app.command("serve")(serve.serve)
app.add_typer(users.app, name="user")
app.add_typer(tokens.app, name="token")
app.add_typer(config_commands.app, name="config")
app.add_typer(admin.app, name="admin")
app.add_typer(media.app, name="media")


def add_chat() -> None:
    """`foyer chat`, which is not loaded by a server: it would take 6 MiB."""
    from e2e.client.chat import command_line  # noqa: PLC0415

    app.add_typer(command_line.app, name="chat")


def main() -> None:
    """The program. An error that whoever calls it can mend is one sentence on standard error."""
    if sys.argv[1:2] != ["serve"]:
        add_chat()
    try:
        app(prog_name="foyer")
    except _FAILURES as error:
        code = exit_code(error)
        if code is None:
            raise
        sys.stderr.write(f"foyer: {sentence(error)}\n")
        sys.exit(code)

"""`foyer admin …`: looking after the data."""

from collections.abc import Sequence
from pathlib import Path
from secrets import token_bytes
from typing import Annotated, Any

import typer

from homeserver.cli import output
from homeserver.cli.exit_codes import ExitCode
from homeserver.cli.opening import with_database
from homeserver.cli.options import ConfigOption, DataDirOption, JSONOption, load_settings
from homeserver.config import Config
from homeserver.events.signing import SigningKey
from homeserver.identifiers import ServerName
from homeserver.server_keys import KeysError, load_or_create
from homeserver.storage import server
from homeserver.storage.database import Database
from homeserver.verify import Check, verify

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Look after the server's data.",
)


@app.callback()
def admin() -> None:
    """Look after the server's data."""


@app.command("verify")
def verify_(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    *,
    signatures: Annotated[
        bool, typer.Option("--signatures", help="Also check this server's signatures; slower.")
    ] = False,
    json: JSONOption = False,
) -> None:
    """Check that the database is whole: rooms, events, state, members, receipts.

    Nothing is changed, and the server may run meanwhile. Exit code 1 if anything is broken; the
    first rows that break a rule are shown.

    Examples:

    - `foyer admin verify`
    - `foyer admin verify --signatures --data-dir /var/lib/foyer`
    - `foyer admin verify --json | jq '.checks[] | select(.broken > 0)'`
    """
    settings = load_settings(config, data_dir=data_dir)

    async def work(database: Database) -> list[Check]:
        async with database.connection() as db:
            name = await server.claimed_name(db) or ServerName(settings.server.name)
        key = _signing_key(settings) if signatures else None
        return await verify(database, server_name=name, key=key)

    checks = with_database(settings, work)
    _print(checks, as_json=json)
    if any(check.broken for check in checks):
        raise typer.Exit(ExitCode.FAILED)


def _signing_key(settings: Config) -> SigningKey:
    """Of the running server's data folder: none is made here."""
    data_dir: Path = settings.server.data_dir
    if not (data_dir / "keys" / "signing.key").exists():
        raise KeysError(f"There is no signing key in {data_dir}.")
    secret = settings.auth.jwt_secret.get_secret_value()
    keys = load_or_create(data_dir, configured_jwt_secret=secret, random_bytes=token_bytes)
    return keys.signing_key


def _print(checks: Sequence[Check], *, as_json: bool) -> None:
    if as_json:
        output.print_json(
            {
                "ok": not any(check.broken for check in checks),
                "checks": [_as_json(check) for check in checks],
            }
        )
        return
    output.print_table(("broken", "what must hold", "first"), map(_row, checks))


def _as_json(check: Check) -> dict[str, Any]:
    return {"name": check.name, "broken": check.broken, "first": check.first}


def _row(check: Check) -> tuple[object, ...]:
    return check.broken, check.name, "; ".join(check.first)

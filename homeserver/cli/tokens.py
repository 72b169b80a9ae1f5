"""`foyer token …`: access tokens for programs."""

from typing import Annotated, Any

import typer

from homeserver.accounts import Accounts
from homeserver.actions.accounts_admin import Operator
from homeserver.actions.tokens import Grant
from homeserver.cli import output
from homeserver.cli.opening import with_accounts
from homeserver.cli.options import (
    ConfigOption,
    DataDirOption,
    JSONOption,
    ServerNameOption,
    load_settings,
)
from homeserver.cli.users import UserArgument
from schema.wire.times import timestamp

_SECONDS_OF_A_DAY = 24 * 3600

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Access tokens for programs.",
)


@app.callback()
def tokens() -> None:
    """Access tokens for programs."""


@app.command()
def create(
    user: UserArgument,
    name: Annotated[
        str, typer.Option("--name", help="Shown in the list of the user's sessions.")
    ] = "command line",
    days: Annotated[
        int | None,
        typer.Option("--days", min=1, max=3650, help="Lifetime; else as is configured."),
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    server_name: ServerNameOption = None,
    *,
    json: JSONOption = False,
) -> None:
    """Open a session for a user and print its access token.

    The token goes into `Authorization: Bearer …`. Whoever has it is the user: keep it secret. It
    ends with its session, which the user can end.

    Examples:

    - `foyer token create alice@example.org`
    - `foyer token create bot --name "build bot" --days 365`
    - `TOKEN=$(foyer token create alice --data-dir /var/lib/foyer)`
    """

    async def work(accounts: Accounts) -> Grant:
        by = Operator()
        account = await accounts.admin.find(by, user)
        lifetime_s = None if days is None else days * _SECONDS_OF_A_DAY
        return await accounts.admin.create_token(by, account.uuid, name=name, lifetime_s=lifetime_s)

    settings = load_settings(config, data_dir=data_dir, server_name=server_name)
    grant = with_accounts(settings, work, server_name=server_name)
    if json:
        output.print_json(_as_json(grant))
    else:
        output.print_line(grant.access_token)


def _as_json(grant: Grant) -> dict[str, Any]:
    return {
        "token": grant.access_token,
        "refresh_token": grant.refresh_token,
        "expires_in": grant.expires_in_s,
        "expires_at": timestamp(grant.requester.expires_at_ms),
        "session_id": str(grant.requester.session_uuid),
        "user": {
            "id": str(grant.requester.user_uuid),
            "user_id": grant.requester.user_id,
        },
    }

"""`foyer user …`: accounts."""

import sys
from secrets import token_bytes
from typing import Annotated, Any

import typer

from homeserver import passwords
from homeserver.accounts import Accounts
from homeserver.actions.accounts_admin import AccountView, Operator
from homeserver.actions.registration import Registrant
from homeserver.cli import output
from homeserver.cli.opening import with_accounts
from homeserver.cli.options import (
    ConfigOption,
    DataDirOption,
    JSONOption,
    ServerNameOption,
    load_settings,
)
from homeserver.identifiers import localpart_of
from schema.wire.times import timestamp

_PAGE = 500
_OPERATOR = Operator()

UserArgument = Annotated[
    str,
    typer.Argument(
        metavar="USER", help="E-mail address, username, user ID (@name:server) or UUID."
    ),
]
PasswordOption = Annotated[
    str | None,
    typer.Option("--password", metavar="P", help="Visible to other programs while this one runs."),
]
PasswordStdinOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Accounts: works while the server runs and while it is stopped.",
)


@app.command()
def add(
    email: Annotated[str, typer.Argument(metavar="EMAIL")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Name that others see.")],
    username: Annotated[
        str | None,
        typer.Option("--username", metavar="LOCALPART", help="Else made from the address."),
    ] = None,
    password: PasswordOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    server_name: ServerNameOption = None,
    *,
    password_stdin: PasswordStdinOption = False,
    admin: Annotated[bool, typer.Option("--admin", help="Administrator of the server.")] = False,
    json: JSONOption = False,
) -> None:
    """Make an account. Without a password a random one is made and shown, once.

    Examples:

    - `foyer user add alice@example.org --name Alice --admin`
    - `foyer user add bot@example.org --name "Build bot" --username bot --json`
    - `echo "$PASSWORD" | foyer user add bob@example.org --name Bob --password-stdin`
    """
    given = _given_password(password, password_stdin=password_stdin)
    password = _random_password() if given is None else given
    registrant = Registrant(email=email, name=name, password=password, username=username)

    async def work(accounts: Accounts) -> AccountView:
        return await accounts.admin.add(_OPERATOR, registrant, is_admin=admin)

    settings = load_settings(config, data_dir=data_dir, server_name=server_name)
    account = with_accounts(settings, work, server_name=server_name)
    _print_with_password(account, password if given is None else None, as_json=json)


@app.command("list")
def list_(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    server_name: ServerNameOption = None,
    *,
    json: JSONOption = False,
) -> None:
    """List all accounts, in the order in which they were made.

    Examples:

    - `foyer user list`
    - `foyer user list --json | jq -r '.[].email'`
    """
    settings = load_settings(config, data_dir=data_dir, server_name=server_name)
    accounts = with_accounts(settings, _all_accounts, server_name=server_name)
    if json:
        output.print_json([_as_json(account) for account in accounts])
        return
    columns = ("username", "email", "name", "admin", "active", "created", "id")
    output.print_table(columns, map(_row, accounts))


@app.command()
def show(
    user: UserArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    server_name: ServerNameOption = None,
    *,
    json: JSONOption = False,
) -> None:
    """Show one account.

    Examples:

    - `foyer user show alice@example.org`
    - `foyer user show alice --json`
    """

    async def work(accounts: Accounts) -> AccountView:
        return await accounts.admin.find(_OPERATOR, user)

    settings = load_settings(config, data_dir=data_dir, server_name=server_name)
    account = with_accounts(settings, work, server_name=server_name)
    if json:
        output.print_json(_as_json(account))
    else:
        output.print_fields(_as_json(account))


@app.command("password")
def set_password(
    user: UserArgument,
    password: PasswordOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    server_name: ServerNameOption = None,
    *,
    password_stdin: PasswordStdinOption = False,
    json: JSONOption = False,
) -> None:
    """Set a new password; all sessions of the account end.

    Without a password a random one is made and shown, once.

    Examples:

    - `foyer user password alice@example.org`
    - `echo "$PASSWORD" | foyer user password alice --password-stdin`
    """
    given = _given_password(password, password_stdin=password_stdin)
    new = _random_password() if given is None else given

    async def work(accounts: Accounts) -> AccountView:
        account = await accounts.admin.find(_OPERATOR, user)
        await accounts.admin.set_password(_OPERATOR, account.uuid, new)
        return account

    settings = load_settings(config, data_dir=data_dir, server_name=server_name)
    account = with_accounts(settings, work, server_name=server_name)
    _print_with_password(account, new if given is None else None, as_json=json)


@app.command()
def deactivate(
    user: UserArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    server_name: ServerNameOption = None,
    *,
    json: JSONOption = False,
) -> None:
    """End an account for good: its owner is logged out and cannot log in again.

    What he wrote stays. His e-mail address and username stay taken.

    Examples:

    - `foyer user deactivate bob@example.org`
    """

    async def work(accounts: Accounts) -> AccountView:
        account = await accounts.admin.find(_OPERATOR, user)
        return await accounts.admin.deactivate(_OPERATOR, account.uuid)

    settings = load_settings(config, data_dir=data_dir, server_name=server_name)
    account = with_accounts(settings, work, server_name=server_name)
    if json:
        output.print_json(_as_json(account))
    else:
        output.print_line(f"{account.user_id} is deactivated.")


async def _all_accounts(accounts: Accounts) -> list[AccountView]:
    found: list[AccountView] = []
    while page := await accounts.admin.page(
        _OPERATOR, after=found[-1].user_nid if found else 0, limit=_PAGE
    ):
        found += page
    return found


def _given_password(password: str | None, *, password_stdin: bool) -> str | None:
    if password is not None and password_stdin:
        raise typer.BadParameter("give either --password or --password-stdin")
    return sys.stdin.readline().rstrip("\r\n") if password_stdin else password


def _random_password() -> str:
    return passwords.generate(token_bytes)


def _print_with_password(account: AccountView, password: str | None, *, as_json: bool) -> None:
    """password: None if whoever runs the command gave it, and so knows it."""
    fields = _as_json(account) | ({} if password is None else {"password": password})
    if as_json:
        output.print_json(fields)
        return
    output.print_fields(fields)
    if password is not None:
        output.remark("The password is not shown again.")


def _as_json(account: AccountView) -> dict[str, Any]:
    deactivated_at = account.deactivated_at_ms
    return {
        "id": str(account.uuid),
        "user_id": account.user_id,
        "username": localpart_of(account.user_id),
        "email": account.email,
        "name": account.name,
        "admin": account.is_admin,
        "created_at": timestamp(account.created_at_ms),
        "deactivated_at": None if deactivated_at is None else timestamp(deactivated_at),
    }


def _row(account: AccountView) -> tuple[object, ...]:
    fields = _as_json(account)
    active = account.deactivated_at_ms is None
    columns = (fields["username"], fields["email"], fields["name"], fields["admin"])
    return (*columns, active, fields["created_at"], fields["id"])

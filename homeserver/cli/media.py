"""`foyer media …`: the media repository as a process of its own, and looking after files."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, TypeVar
from uuid import UUID

import typer

from homeserver.cli import output
from homeserver.cli.exit_codes import ExitCode
from homeserver.cli.opening import with_database
from homeserver.cli.options import ConfigOption, DataDirOption, JSONOption, load_settings
from homeserver.clock import SystemClock
from homeserver.config import Config
from homeserver.config.values import parse_moment
from homeserver.errors import InvalidInput, NotFound
from homeserver.identifiers import RoomID, ServerName, UserID, native_uuid
from homeserver.storage import media_usage, rooms, users
from homeserver.storage.database import Database
from homeserver.storage.media_expiry import Selection
from homeserver.storage.media_usage import Usage
from homeserver.streams.bus import announce_once
from mediarepo.addresses import parse_address
from mediarepo.arrivals import EVERYTHING, TOPIC
from mediarepo.maintenance import Finding, Maintenance, Told, are_whole, require_store
from mediarepo.stores import build_stores

_MAX_ANNOUNCED = 500
_HASH_BYTES = 32

T = TypeVar("T")

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="markdown",
    help="Run the media repository alone, or look after files.",
)

ListenOption = Annotated[
    str | None,
    typer.Option("--listen", metavar="HOST:PORT", help="Address of clients; port 0: any."),
]
UserOption = Annotated[
    str | None, typer.Option("--user", metavar="@USER:SERVER", help="What this user uploaded.")
]
MediaOption = Annotated[
    str | None, typer.Option("--media", metavar="mxc://SERVER/ID", help="This one.")
]
HashOption = Annotated[
    str | None, typer.Option("--hash", metavar="SHA256", help="All that has this content.")
]


@app.callback(invoke_without_command=True)
def media(
    context: typer.Context,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    listen: ListenOption = None,
) -> None:
    """Without a command: serve media until stopped with Ctrl-C or SIGTERM.

    The server itself (`foyer serve`, with `media.in_process = false`) then serves none. Either a
    proxy sends `/_matrix/media`, `/_matrix/client/v1/media` and `/api/attachments` here, or the
    server sends clients to `media.public_url`; docs/MEDIA.md has examples.

    - `foyer media --config /etc/foyer.toml`
    """
    if context.invoked_subcommand is not None:
        return
    # The other commands start faster without it.
    from homeserver.media_app import run  # noqa: PLC0415

    raise typer.Exit(run(load_settings(config, data_dir=data_dir, media_listen=listen)))


@app.command()
def usage(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    *,
    by_room: Annotated[bool, typer.Option("--rooms", help="By room instead of by user.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many, the largest first.")] = 50,
    json: JSONOption = False,
) -> None:
    """Show how much people, or rooms, keep here.

    Content is kept once, however many have it, so the sum may be more than what is kept in all.
    """
    settings = load_settings(config, data_dir=data_dir)

    async def work(at: "_Place") -> tuple[list[Usage], tuple[int, int]]:
        async with at.database.connection() as db:
            read = media_usage.by_room if by_room else media_usage.by_user
            found = await read(db, limit)
        return found, await at.maintenance.totals()

    found, (files, total) = _do(settings, work)
    if json:
        rows = [{"whose": each.whose, "media": each.media, "bytes": each.bytes} for each in found]
        output.print_json({"files": files, "bytes": total, "usage": rows})
        return
    columns = ("room" if by_room else "user", "media", "bytes")
    output.print_table(columns, ((each.whose, each.media, each.bytes) for each in found))
    output.remark(f"{files} files with {total} bytes in all.")


@app.command()
def purge(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    *,
    user: UserOption = None,
    room: Annotated[
        str | None, typer.Option("--room", metavar="!ROOM", help="What events of this room name.")
    ] = None,
    only: MediaOption = None,
    digits: HashOption = None,
    remote: Annotated[
        bool, typer.Option("--remote", help="Copies of other servers' files.")
    ] = False,
    before: Annotated[
        str | None, typer.Option("--before", metavar="DATE", help="What came before this.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    json: JSONOption = False,
) -> None:
    """Remove media for good: what all options that are given have in common.

    What was interrupted goes on when the same command is given again.

    Examples:

    - `foyer media purge --remote --before 2026-01-31`
    - `foyer media purge --user @spammer:example.org`
    """
    settings = load_settings(config, data_dir=data_dir)
    if not (user or room or only or digits or remote or before):
        raise InvalidInput(
            "Say what shall go: --user, --room, --media, --hash, --remote, --before."
        )

    async def work(at: "_Place") -> int:
        selection = await _selection(at.database, user=user, room=room, uri=only, digits=digits)
        if remote:
            selection = replace(selection, not_origin=settings.server.name)
        if before:
            selection = replace(selection, before_ms=_moment_ms(before))
        count, total = await at.maintenance.count(selection)
        if dry_run:
            return count
        with _progress("removing", count, total) as told:
            return await at.maintenance.purge(selection, told)

    _say_count("media", _do(settings, work), as_json=json)


@app.command()
def quarantine(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    *,
    user: UserOption = None,
    only: MediaOption = None,
    digits: HashOption = None,
    lift: Annotated[bool, typer.Option("--lift", help="Serve them again.")] = False,
    json: JSONOption = False,
) -> None:
    """Serve media no more: by address, by user, or by content.

    With `--hash`, the same content stays away under whatever address it is uploaded again.
    """
    settings = load_settings(config, data_dir=data_dir)
    if sum(each is not None for each in (user, only, digits)) != 1:
        raise InvalidInput("Say which: one of --user, --media, --hash.")

    async def work(at: "_Place") -> int:
        if digits is not None:
            return await at.maintenance.quarantine_content(_hash(digits), lift=lift)
        selection = await _selection(at.database, user=user, uri=only)
        return await at.maintenance.quarantine(selection, lift=lift)

    _say_count("media", _do(settings, work), as_json=json)


@app.command()
def move(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    *,
    json: JSONOption = False,
) -> None:
    """Bring all files into the store that `media.store` names. The server may run meanwhile.

    What was interrupted goes on when it is started again.
    """
    settings = load_settings(config, data_dir=data_dir)

    async def work(at: "_Place") -> int:
        require_store(at.stores, settings.media.store)
        files, total = await at.maintenance.totals()
        there, there_bytes = await at.maintenance.totals(settings.media.store)
        with _progress("moving", files - there, total - there_bytes) as told:
            return await at.maintenance.move(settings.media.store, told)

    _say_count("files", _do(settings, work), as_json=json)


@app.command()
def verify(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    *,
    contents: Annotated[
        bool, typer.Option("--contents", help="Also read every file; slower.")
    ] = False,
    json: JSONOption = False,
) -> None:
    """Compare the database and the stores, both ways. Nothing is changed.

    Exit code 1 if anything is broken; the first files that break a rule are shown.
    """
    settings = load_settings(config, data_dir=data_dir)

    async def work(at: "_Place") -> list[Finding]:
        files, total = await at.maintenance.totals()
        with _progress("verifying", files, total) as told:
            return await at.maintenance.verify(contents=contents, progress=told)

    findings = _do(settings, work)
    if json:
        checks = [
            {"name": each.rule, "broken": each.broken, "first": each.first} for each in findings
        ]
        output.print_json({"ok": are_whole(findings), "checks": checks})
    else:
        rows = ((each.broken, each.rule, "; ".join(each.first)) for each in findings)
        output.print_table(("broken", "what must hold", "first"), rows)
    if not are_whole(findings):
        raise typer.Exit(ExitCode.FAILED)


@dataclass(frozen=True, slots=True)
class _Place:
    """What a command works with."""

    database: Database
    maintenance: Maintenance
    stores: Sequence[str]


def _do(config: Config, work: Callable[[_Place], Awaitable[T]]) -> T:
    async def with_place(database: Database) -> T:
        async with _place(config, database) as place:
            return await work(place)

    return with_database(config, with_place)


@asynccontextmanager
async def _place(config: Config, database: Database) -> AsyncIterator[_Place]:
    """Processes that run are told at the end what changed."""
    clock, changed = SystemClock(), set[UUID]()
    stores = build_stores(config=config, database=database, clock=clock)
    maintenance = Maintenance(
        database=database,
        files=stores.files,
        stores=stores.by_name,
        announce=changed.add,
        clock=clock,
    )
    try:
        yield _Place(database, maintenance, tuple(stores.by_name))
    finally:
        stores.close()
        await _announce(database, changed)


async def _announce(database: Database, changed: set[UUID]) -> None:
    payloads = [EVERYTHING] if len(changed) > _MAX_ANNOUNCED else [str(each) for each in changed]
    if payloads:
        async with database.connection() as db:
            for payload in payloads:
                await announce_once(db, TOPIC, payload)


async def _selection(
    database: Database,
    *,
    user: str | None = None,
    room: str | None = None,
    uri: str | None = None,
    digits: str | None = None,
) -> Selection:
    """Raises NotFound, InvalidInput."""
    selection = Selection(
        uuid=None if uri is None else _uuid(uri),
        sha256=None if digits is None else _hash(digits),
    )
    async with database.connection() as db:
        if user is not None:
            found = await users.by_user_ids(db, [UserID(user)])
            if not found:
                raise NotFound(f"There is no user {user}.", kind="user")
            selection = replace(selection, user_nid=found[0].user_nid)
        if room is not None:
            record = await rooms.by_uuid(db, native_uuid(RoomID(room)))
            if record is None:
                raise NotFound(f"There is no room {room}.", kind="room")
            selection = replace(selection, room_nid=record.room_nid)
    return selection


def _uuid(uri: str) -> UUID:
    origin, _, media_id = uri.removeprefix("mxc://").partition("/")
    return parse_address(ServerName(origin), media_id).uuid


def _hash(digits: str) -> bytes:
    try:
        sha256 = bytes.fromhex(digits)
    except ValueError:
        sha256 = b""
    if len(sha256) != _HASH_BYTES:
        raise InvalidInput(f"{digits!r} is no SHA-256: 64 hexadecimal digits.")
    return sha256


def _moment_ms(text: str) -> int:
    try:
        return round(parse_moment(text).timestamp() * 1000)
    except ValueError:
        raise InvalidInput(f"{text!r} is no date, such as 2026-01-31.") from None


def _say_count(what: str, count: int, *, as_json: bool) -> None:
    if as_json:
        output.print_json({what: count})
    else:
        output.print_line(f"{count} {what}")


@contextmanager
def _progress(doing: str, files: int, size: int) -> Iterator[Told]:
    """A bar on standard error, for people only."""
    # Not loaded by a server.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
    )

    console = Console(stderr=True)
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), DownloadColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(doing, total=size)
        counted = progress.add_task("files", total=files)

        def told(done: int, done_bytes: int) -> None:
            progress.advance(bar, done_bytes)
            progress.advance(counted, done)

        yield told

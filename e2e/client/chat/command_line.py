"""`foyer chat …`: the commands, their arguments and their help."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from e2e.client.chat import commands, open_room, terminal, verifying
from e2e.client.chat.verifying import Way
from e2e.client.key_sharing import Audience
from e2e.client.records import LocalTrust

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Talk in encrypted rooms, on any Matrix homeserver or over Foyer's own protocol.",
    epilog="Keys and credentials are kept in $FOYER_CHAT_HOME, or among your data. One command "
    "at a time uses them.",
)

RoomArgument = Annotated[
    str, typer.Argument(metavar="ROOM", help="ID, alias or name of a room that you are in.")
]
UserArgument = Annotated[str, typer.Argument(metavar="USER", help="As @user:server.")]
AudienceOption = Annotated[
    Audience,
    typer.Option(
        "--share-with",
        help="Whose devices get keys: all, those that their users signed, or verified ones.",
    ),
]


@app.callback()
def chat() -> None:
    """Talk in encrypted rooms, on any Matrix homeserver or over Foyer's own protocol."""


@app.command()
def login(
    url: Annotated[str, typer.Argument(metavar="URL", help="Of the homeserver.")],
    user: Annotated[str, typer.Argument(metavar="USER", help="User name or ID.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Shown in the list of your sessions.")
    ] = None,
    *,
    native: Annotated[
        bool, typer.Option("--native", help="Over Foyer's own protocol, not the Matrix API.")
    ] = False,
) -> None:
    """Log in as a new device.

    The password is asked for, or read from `FOYER_CHAT_PASSWORD`, or from standard input.

    Examples:

    - `foyer chat login https://chat.example.org alice`
    - `pass show chat | foyer chat login https://chat.example.org alice`
    - `foyer chat login --native https://chat.example.org alice`
    """
    _run(commands.login(url, user, name, native=native))


@app.command()
def logout() -> None:
    """Log out, and delete the keys of this device."""
    _run(commands.logout())


@app.command()
def rooms() -> None:
    """List rooms and invitations: ID, encryption, members, name; separated by tabs."""
    _run(commands.rooms())


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the room.")],
    invite: Annotated[
        list[str] | None, typer.Option("--invite", metavar="USER", help="Again for each.")
    ] = None,
    *,
    plain: Annotated[bool, typer.Option("--plain", help="Without encryption.")] = False,
    public: Annotated[bool, typer.Option("--public", help="Everybody may join.")] = False,
) -> None:
    """Create a room, encrypted unless you say otherwise, and print its ID."""
    _run(commands.create(name, invite or [], encrypted=not plain, public=public))


@app.command()
def join(
    room: Annotated[str, typer.Argument(metavar="ROOM", help="ID or alias.")],
) -> None:
    """Join a room, or accept an invitation."""
    _run(commands.join(room))


@app.command()
def invite(room: RoomArgument, user: UserArgument) -> None:
    """Invite somebody."""
    _run(commands.invite(room, user))


@app.command()
def leave(room: RoomArgument) -> None:
    """Leave a room."""
    _run(commands.leave(room))


@app.command("open")
def open_(room: RoomArgument, share_with: AudienceOption = Audience.CROSS_SIGNED) -> None:
    """Read and write in a room. In a pipe, each line is sent as a message.

    Examples:

    - `foyer chat open office`
    - `tail -f build.log | foyer chat open '#builds:example.org'`
    """

    async def work() -> None:
        async with commands.session(share_with) as session:
            found = session.rooms.find(room)
            await open_room.converse(session, room if found is None else found.room_id)

    _run(work())


@app.command()
def listen(
    room: Annotated[str | None, typer.Argument(metavar="ROOM", help="Else all rooms.")] = None,
) -> None:
    """Print what happens, until interrupted."""

    async def work() -> None:
        async with commands.session() as session:
            found = None if room is None else session.rooms.find(room)
            await open_room.listen(session, room if found is None else found.room_id)

    _run(work())


@app.command()
def history(
    room: RoomArgument,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 20,
) -> None:
    """Print the newest events of a room, one JSON object a line."""
    _run(commands.history(room, limit))


@app.command()
def send(
    room: RoomArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT")],
    share_with: AudienceOption = Audience.CROSS_SIGNED,
) -> None:
    """Send one message, and print its event ID."""
    _run(commands.send(room, text, share_with))


@app.command("file")
def file_(
    room: RoomArgument,
    path: Annotated[Path, typer.Argument(metavar="PATH", exists=True, dir_okay=False)],
    share_with: AudienceOption = Audience.CROSS_SIGNED,
) -> None:
    """Send a file, encrypted where the room is."""
    _run(commands.send_file(room, path, share_with))


@app.command()
def save(
    room: RoomArgument,
    event_id: Annotated[str, typer.Argument(metavar="EVENT", help="As history prints it.")],
    path: Annotated[Path, typer.Argument(metavar="PATH")],
) -> None:
    """Save the file of a message. Nothing is overwritten."""
    _run(commands.save_file(room, event_id, path))


@app.command()
def verify(
    user: UserArgument,
    *,
    qr: Annotated[bool, typer.Option("--qr", help="Show a QR code to the other device.")] = False,
    scan: Annotated[bool, typer.Option("--scan", help="Read the other device's QR code.")] = False,
    device: Annotated[
        str | None,
        typer.Option(metavar="DEVICE", help="Start at once, with a client that is not asked."),
    ] = None,
) -> None:
    """Verify a user, or your own other device, by comparing short strings or by a QR code.

    With `--scan` you are asked for the code: the path of a picture of it, or its text.

    Examples:

    - `foyer chat verify @bob:example.org`
    - `foyer chat verify @me:example.org --qr`
    """
    if qr and scan:
        raise typer.BadParameter("one side shows a code, the other one scans it")

    async def work() -> None:
        async with commands.session() as session:
            way = Way.SHOW if qr else Way.SCAN if scan else Way.COMPARE
            await verifying.verify(session, user, way=way, device_id=device)
        terminal.show(f"{user} is verified.")

    _run(work())


@app.command()
def devices(
    user: Annotated[str | None, typer.Argument(metavar="USER", help="Else your own.")] = None,
) -> None:
    """List devices: ID, trust, key, name; separated by tabs."""
    _run(commands.devices(user))


@app.command()
def block(
    user: UserArgument,
    device: Annotated[str, typer.Argument(metavar="DEVICE")],
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Let it read again.")] = False,
) -> None:
    """Give a device no keys any more."""
    _run(commands.mark(user, device, LocalTrust.UNSET if undo else LocalTrust.BLOCKED))


@app.command()
def acknowledge(user: UserArgument) -> None:
    """Go on with somebody whose identity changed, without verifying it."""
    _run(commands.acknowledge(user))


@app.command()
def setup() -> None:
    """Make your identity, a key backup and secret storage; print the recovery key."""
    _run(commands.set_up())


@app.command()
def recover() -> None:
    """Make this a verified device and read the backup, with your recovery key or passphrase."""
    _run(commands.recover())


@app.command("export-keys")
def export_keys(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Nothing is overwritten.")],
) -> None:
    """Write the keys of all rooms to a file, encrypted with a passphrase.

    Other clients read it, too. The passphrase is asked for, or read from
    `FOYER_CHAT_PASSPHRASE`, or from standard input.
    """
    _run(commands.export_keys(path))


@app.command("import-keys")
def import_keys(
    path: Annotated[Path, typer.Argument(metavar="PATH", exists=True, dir_okay=False)],
) -> None:
    """Read the keys that this or another client has written to a file."""
    _run(commands.import_keys(path))


def _run(work: Coroutine[Any, Any, None]) -> None:
    """A closed pipe is the end of the work, not an error."""
    try:
        asyncio.run(work)
    except BrokenPipeError:
        # What is still to be flushed at the end must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None

"""What each command does."""

import asyncio
import json
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from e2e.client import files, identity_setup, key_export
from e2e.client.chat import terminal
from e2e.client.chat.lines import as_json
from e2e.client.chat.profile import AlreadyLoggedIn, Profile
from e2e.client.chat.terminal import harmless, show
from e2e.client.device_keys import master_of
from e2e.client.errors import CryptoError
from e2e.client.http import Homeserver
from e2e.client.key_sharing import Audience
from e2e.client.native.server import NativeServer, Tokens
from e2e.client.records import LocalTrust
from e2e.client.rooms import Room
from e2e.client.server import Server, ServerRefused
from e2e.client.session import Credentials, Session

RECOVERY = "FOYER_CHAT_RECOVERY_KEY"
PASSPHRASE = "FOYER_CHAT_PASSPHRASE"  # noqa: S105 - the name of a variable


class NoSuch(CryptoError):
    """A room or a message that is not there."""


def profile() -> Profile:
    return Profile.of(os.environ)


@asynccontextmanager
async def session(audience: Audience = Audience.CROSS_SIGNED) -> AsyncIterator[Session]:
    """Of who is logged in, synced once. Raises NotLoggedIn."""
    found = profile()
    credentials = found.credentials()
    store = await found.store()
    async with (
        aiohttp.ClientSession() as http,
        _server(found, credentials, http) as server,
        Session.opened(
            credentials, store=store, http=http, clock=_now_ms, audience=audience, server=server
        ) as opened,
    ):
        await opened.sync()
        yield opened


async def login(url: str, user: str, device_name: str | None, *, native: bool) -> None:
    """Makes a new device, with keys of its own."""
    found = profile()
    if found.is_logged_in():
        raise AlreadyLoggedIn("you are logged in already: foyer chat logout")
    password = await terminal.ask_secret("Password", os.environ, terminal.PASSWORD)
    async with aiohttp.ClientSession() as http:
        if native:
            credentials = await _native_credentials(url, user, password, http)
        else:
            credentials = await _matrix_credentials(url, user, password, device_name, http)
    found.save(credentials)
    async with session():
        show(f"{credentials.user_id} {credentials.device_id}")


async def logout() -> None:
    """The device and its keys are gone, here and on the server."""
    found = profile()
    credentials = found.credentials()
    async with (
        aiohttp.ClientSession() as http,
        _server(found, credentials, http) as server,
    ):
        try:
            await server.logout()
        except ServerRefused as error:
            if not error.is_logged_out:
                raise
    found.forget()


@asynccontextmanager
async def _server(
    found: Profile, credentials: Credentials, http: aiohttp.ClientSession
) -> AsyncIterator[Server]:
    """In the protocol of the log-in."""
    if credentials.protocol == "matrix":
        yield Homeserver(credentials.url, http=http, token=credentials.access_token)
        return
    native = NativeServer(
        credentials.url,
        http=http,
        user_id=credentials.user_id,
        tokens=Tokens(credentials.access_token, credentials.refresh_token),
        renewed=found.renew,
    )
    try:
        yield native
    finally:
        await native.close()


async def _matrix_credentials(
    url: str, user: str, password: str, device_name: str | None, http: aiohttp.ClientSession
) -> Credentials:
    name = device_name or f"foyer chat on {socket.gethostname()}"
    answer = await Homeserver(url, http=http).login(user, password, name)
    return Credentials(url, answer["user_id"], answer["device_id"], answer["access_token"])


async def _native_credentials(
    url: str, user: str, password: str, http: aiohttp.ClientSession
) -> Credentials:
    answer = await NativeServer.login(url, user, password, http=http)
    return Credentials(
        url,
        answer["user_id"],
        answer["device_id"],
        answer["token"],
        protocol="native",
        refresh_token=answer["refresh_token"],
    )


async def rooms() -> None:
    async with session() as opened:
        for room in opened.rooms.joined.values():
            mark = "encrypted" if room.encrypted else "plain"
            title = harmless(room.title(opened.user_id))
            readers = await opened.readers(room)
            show(f"{room.room_id}\t{mark}\t{len(readers)}\t{title}")
        for invitation in opened.rooms.invited.values():
            name = harmless(f"{invitation.name or ''} from {invitation.sender}")
            show(f"{invitation.room_id}\tinvitation\t-\t{name}")


async def create(name: str, invited: list[str], *, encrypted: bool, public: bool) -> None:
    async with session() as opened:
        show(await opened.server.create_room(name, invited, encrypted=encrypted, public=public))


async def join(room: str) -> None:
    async with session() as opened:
        show(await opened.join(room))
        # What who invited us shares of the history.
        await opened.sync()


async def invite(room: str, user_id: str) -> None:
    async with session() as opened:
        found = _room(opened, room)
        told = await opened.invite(found.room_id, user_id)
    if told:
        terminal.remark(f"{harmless(user_id)} gets the keys of what was said before.")


async def leave(room: str) -> None:
    async with session() as opened:
        await opened.server.leave(_room(opened, room).room_id)


async def send(room: str, text: str, audience: Audience) -> None:
    async with session(audience) as opened:
        content = {"msgtype": "m.text", "body": text}
        found = _room(opened, room)
        show(await opened.send(found.room_id, "m.room.message", content))


async def send_file(room: str, path: Path, audience: Audience) -> None:
    async with session(audience) as opened:
        show(await files.send(opened, _room(opened, room).room_id, path))


async def save_file(room: str, event_id: str, target: Path) -> None:
    """The file of a message among the newest hundred of the room."""
    async with session() as opened:
        for said in await opened.history(_room(opened, room).room_id, 100):
            if said.event.get("event_id") == event_id:
                await files.save(opened, said.event["content"], target)
                return
    raise NoSuch(f"no message {event_id} among the newest of this room")


async def history(room: str, limit: int) -> None:
    """One JSON object a line, for programs."""
    async with session() as opened:
        for said in await opened.history(_room(opened, room).room_id, limit):
            show(json.dumps(as_json(said)))


async def devices(user_id: str | None) -> None:
    """Whose devices are known, and how far they are trusted."""
    async with session() as opened:
        whose = user_id or opened.user_id
        await opened.step(lambda machine: machine.track([whose]))
        user = await opened.keeper.run(lambda machine: machine.tracking.user(whose))
        show(f"identity\t{master_of(user.identity) or '-'}")
        for device in user.devices.values():
            trust = await opened.keeper.run(
                lambda machine, d=device: machine.trust.of_device(d)  # type: ignore[misc]
            )
            name = harmless(device.display_name or "")
            show(f"{device.device_id}\t{trust}\t{device.ed25519}\t{name}")


async def mark(user_id: str, device_id: str, local: LocalTrust) -> None:
    async with session() as opened:
        await opened.step(lambda machine: machine.track([user_id]))
        await opened.step(lambda machine: machine.trust.mark_device(user_id, device_id, local))


async def acknowledge(user_id: str) -> None:
    async with session() as opened:
        await opened.step(lambda machine: machine.trust.acknowledge(user_id))


async def set_up() -> None:
    """Prints the recovery key, once."""
    password = await terminal.ask_secret("Password", os.environ, terminal.PASSWORD)
    async with session() as opened:
        key = await identity_setup.set_up(opened, password=password)
    terminal.remark("Keep this recovery key: it is the only way back to your messages.")
    show(key)


async def recover() -> None:
    secret = await terminal.ask_secret("Recovery key or passphrase", os.environ, RECOVERY)
    async with session() as opened:
        restored, damaged = await identity_setup.recover(opened, secret)
    terminal.remark(f"{restored} room keys restored, {damaged} could not be read.")


async def export_keys(path: Path) -> None:
    """For another client, or for a drawer."""
    passphrase = await terminal.ask_secret("Passphrase for the file", os.environ, PASSPHRASE)
    async with session() as opened:
        sessions = await opened.keeper.run(
            lambda machine: machine.export_room_keys(list(opened.rooms.joined))
        )
    text = await asyncio.to_thread(key_export.encrypt, sessions, passphrase, secrets.token_bytes)
    await asyncio.to_thread(_write_for_us, path, text)
    terminal.remark(f"{len(sessions)} room keys written.")


def _write_for_us(path: Path, text: str) -> None:
    """Raises FileExistsError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)


async def import_keys(path: Path) -> None:
    passphrase = await terminal.ask_secret("Passphrase of the file", os.environ, PASSPHRASE)
    text = await asyncio.to_thread(path.read_text)
    found = await asyncio.to_thread(key_export.decrypt, text, passphrase)
    async with session() as opened:
        imported = await opened.step(lambda machine: machine.import_room_keys(found))
    terminal.remark(f"{imported} of {len(found)} room keys were new.")


def _room(opened: Session, text: str) -> Room:
    found = opened.rooms.find(text)
    if found is None:
        raise NoSuch(f"you are in no room (or in several) called {text}")
    return found


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

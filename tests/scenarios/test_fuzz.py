"""Anything may come over the wire: never a 500, never a stored half, and the server lives on."""

import asyncio
import json
import string
from typing import Any
from uuid import UUID

import aiohttp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schema.operations import OPERATIONS
from tests.support.live_server import LiveServer
from tests.support.play import Play

FRAME_TYPES = (
    "message.send",
    "message.edit",
    "message.delete",
    "message.read",
    "reaction.add",
    "reaction.remove",
    "typing.start",
    "typing.stop",
    "presence.update",
    "keys.upload",
    "keys.query",
    "keys.claim",
    "to_device.send",
    "encryption.listen",
    "encryption.ack",
    "ping",
    "no.such.frame",
)
FIELDS = (
    "room_id",
    "message_id",
    "content",
    "reply_to",
    "thread_id",
    "key",
    "status",
    "ref",
    "name",
    "type",
    "members",
    "user_ids",
    "user_id",
    "role",
    "email",
    "password",
    "version",
    "uses",
    "attachments",
    "public",
    "encrypted",
    "device_keys",
    "one_time_keys",
    "fallback_keys",
    "event_type",
    "messages",
    "since",
    "token",
    "algorithm",
    "auth_data",
    "rooms",
    "master_key",
)
# What would end the session that the others use.
NOT_CALLED = frozenset({"logout", "logoutAll", "changePassword", "endSession"})

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40)
    | st.uuids().map(str)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from(FIELDS), values, max_size=6)
frames = st.builds(lambda kind, rest: {**rest, "type": kind}, st.sampled_from(FRAME_TYPES), objects)
words = st.text(string.ascii_letters + string.digits + "-_%!$:", min_size=1, max_size=40)

fuzzing = settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


async def is_well(server: LiveServer, play: Play) -> None:
    """It answers, and a conversation goes on as ever."""
    async with aiohttp.ClientSession(server.url) as session, session.get("/ready") as answer:
        assert answer.status == 200
    alice, bob = await play.cast("alice", "bob")
    room = await alice.creates_group(bob)
    said = await alice.says(room, "still here")
    await bob.hears("message.new", id=said)


class TestAnyFrame:
    async def test_is_answered_and_closes_nothing(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        room = await alice.creates_group()
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(
                play.server.websocket_url, headers={"Authorization": f"Bearer {alice.token}"}
            ) as socket,
        ):
            for sent in _examples(st.lists(frames, min_size=40, max_size=40)):
                for frame in sent:
                    given_room = {**frame, "room_id": room} if "content" in frame else frame
                    await socket.send_str(json.dumps(given_room))
                await socket.send_str('{"type": "ping", "ref": "end"}')
                await self.hears_pong(socket)
        await is_well(play.server, play)

    async def hears_pong(self, socket: "aiohttp.ClientWebSocketResponse[Any]") -> None:
        while True:
            frame = await socket.receive_json()
            assert frame.get("code") != "INTERNAL", frame
            if frame["type"] == "pong" and frame.get("ref") == "end":
                return


class TestAnyText:
    async def test_that_is_no_frame_is_an_error(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(
                play.server.websocket_url, headers={"Authorization": f"Bearer {alice.token}"}
            ) as socket,
        ):
            for texts in _examples(st.lists(st.text(max_size=200), min_size=30, max_size=30)):
                for text in texts:
                    await socket.send_str("#" + text)
                    frame = await socket.receive_json()
                    while frame["type"] != "error":
                        frame = await socket.receive_json()
                    assert frame["code"] == "INVALID_FRAME", frame
        await is_well(play.server, play)


class TestAnyBytes:
    """What is no WebSocket, and no HTTP, ends its own connection at most."""

    async def test_on_the_socket(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        address = play.server.url.removeprefix("http://").split(":")
        upgrade = (
            f"GET /ws HTTP/1.1\r\nHost: {address[0]}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Authorization: Bearer {alice.token}\r\n\r\n"
        ).encode()
        for junk in _examples(st.lists(st.binary(max_size=300), min_size=10, max_size=10)):
            for data in junk:
                for opening in (b"", upgrade):
                    reader, writer = await asyncio.open_connection(address[0], int(address[1]))
                    writer.write(opening + data)
                    writer.write_eof()
                    answer = await reader.read()
                    assert b" 500 " not in answer.split(b"\r\n", 1)[0]
                    writer.close()
        await is_well(play.server, play)


class TestAnyBody:
    async def test_of_any_operation_is_understood_or_refused(self, play: Play) -> None:
        (alice,) = await play.cast("alice")
        async with aiohttp.ClientSession(
            play.server.url, headers={"Authorization": f"Bearer {alice.token}"}
        ) as session:
            for operation in OPERATIONS:
                if operation.name in NOT_CALLED:
                    continue
                for word, body, query in _examples(st.tuples(words, values | objects, words)):
                    path = _filled(operation.path, word)
                    async with session.request(
                        operation.method, path, json=body, params={"limit": query, "q": word}
                    ) as answer:
                        assert answer.status < 500, (operation.name, body, await answer.text())
        await is_well(play.server, play)


def _filled(path: str, word: str) -> str:
    """Half of the identifiers look like some."""
    known = str(UUID(int=len(word)))
    value = known if len(word) % 2 else word.replace("%", "")
    parts = [value or known if part.startswith("{") else part for part in path.split("/")]
    return "/".join(parts)


def _examples(strategy: st.SearchStrategy[Any]) -> list[Any]:
    """A few values of a strategy, drawn by hypothesis, for code that awaits."""
    drawn: list[Any] = []

    @fuzzing
    @given(strategy)
    def draw(value: Any) -> None:
        drawn.append(value)

    draw()
    return drawn

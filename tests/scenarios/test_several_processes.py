"""Two processes of one server, on one database: who is at one is seen at the other."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from tests.support.live_server import BASE, GENEROUS, LiveServer, merged

_txn_ids = count(1)


class Client:
    """A Matrix client. `typing` by room and `presence` by user are what it was told last."""

    def __init__(self, server: LiveServer, token: str = "", user_id: str = "") -> None:
        self.server = server
        self.token = token
        self.user_id = user_id
        self.since: str | None = None
        self.typing: dict[str, list[str]] = {}
        self.presence: dict[str, str] = {}
        self.said: list[str] = []

    def at(self, server: LiveServer) -> "Client":
        """The same one, which comes to another process from now on."""
        self.server = server
        return self

    def asks(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        response = requests.request(
            method,
            f"{self.server.url}/_matrix/client/v3/{path}",
            data=None if body is None else json.dumps(body),
            params=query,
            headers={"Authorization": f"Bearer {self.token}"} if self.token else {},
            timeout=120,
        )
        assert response.ok, (method, path, response.text)
        return response.json()

    def syncs_until(self, met: Callable[[], bool]) -> None:
        while not met():
            query = {} if self.since is None else {"since": self.since, "timeout": 60_000}
            self._take(self.asks("GET", "sync", **query))

    def _take(self, answer: Any) -> None:
        self.since = answer["next_batch"]
        for room, part in answer.get("rooms", {}).get("join", {}).items():
            for event in part["timeline"]["events"]:
                if event["type"] == "m.room.message":
                    self.said.append(event["content"]["body"])
            for event in part.get("ephemeral", {}).get("events", ()):
                if event["type"] == "m.typing":
                    self.typing[room] = event["content"]["user_ids"]
        for event in answer.get("presence", {}).get("events", ()):
            self.presence[event["sender"]] = event["content"]["presence"]


def registers(server: LiveServer, name: str) -> Client:
    body = {"username": name, "password": "correct horse", "auth": {"type": "m.login.dummy"}}
    answer = Client(server).asks("POST", "register", body)
    return Client(server, answer["access_token"], answer["user_id"])


@pytest.fixture
def processes(database_dsn: str, tmp_path: Path) -> Iterator[tuple[LiveServer, LiveServer]]:
    settings = merged(BASE, GENEROUS, {"database": {"url": database_dsn}})
    first, second = LiveServer(tmp_path / "1", settings), LiveServer(tmp_path / "2", settings)
    try:
        first.start()
        second.data_dir.mkdir(mode=0o700)
        shutil.copytree(first.data_dir / "keys", second.data_dir / "keys")
        second.start()
        yield first, second
    finally:
        first.close()
        second.close()


def test_what_is_of_the_moment_reaches_both(processes) -> None:
    first, second = processes
    alice, bob = registers(first, "alice"), registers(second, "bob")
    body = {"preset": "private_chat", "invite": [bob.user_id]}
    room = alice.asks("POST", "createRoom", body)["room_id"]
    path = f"rooms/{quote(room, safe='')}"
    bob.asks("POST", f"join/{quote(room, safe='')}", {})
    typing = f"{path}/typing/{quote(alice.user_id, safe='')}"
    presence = f"presence/{quote(alice.user_id, safe='')}/status"

    alice.asks("PUT", presence, {"presence": "online", "status_msg": "here"})
    alice.asks("PUT", typing, {"typing": True, "timeout": 120_000})
    bob.syncs_until(
        lambda: (
            bob.typing.get(room) == [alice.user_id] and bob.presence.get(alice.user_id) == "online"
        )
    )
    assert bob.asks("GET", presence)["status_msg"] == "here"

    # A token of one process at the other.
    bob.typing.clear()
    bob.at(first).syncs_until(lambda: bob.typing.get(room) == [alice.user_id])
    message = {"msgtype": "m.text", "body": "hello"}
    alice.at(second).asks("PUT", f"{path}/send/m.room.message/{next(_txn_ids)}", message)
    bob.syncs_until(lambda: bob.said == ["hello"] and bob.typing[room] == [])

    # The process that alice was at ends in good order, and so she is away for the other.
    alice.at(first).asks("PUT", presence, {"presence": "unavailable"})
    bob.at(second).syncs_until(lambda: bob.presence[alice.user_id] == "unavailable")
    assert first.stop(signal.SIGTERM) == 0
    bob.syncs_until(lambda: bob.presence[alice.user_id] == "offline")
    assert not second.problems()

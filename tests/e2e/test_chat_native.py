"""`foyer chat` over the native protocol, with somebody on the Matrix API."""

from pathlib import Path

import pytest

from tests.e2e.shell import Shell
from tests.support.live_server import LiveServer
from tests.support.native_olm import native_account
from tests.support.olm_session import PASSWORD, registered, unique


@pytest.fixture
async def nadia(server: LiveServer, tmp_path: Path) -> Shell:
    """Native."""
    name = unique("nadia")
    account = await native_account(server.url, name)
    shell = Shell(tmp_path / "nadia", server.url, account.user_id)
    shell.says("login", "--native", server.url, name, typing=f"{PASSWORD}\n")
    return shell


@pytest.fixture
async def matt(server: LiveServer, tmp_path: Path) -> Shell:
    """Matrix."""
    account = await registered(server.url, unique("matt"))
    shell = Shell(tmp_path / "matt", server.url, account.user_id)
    shell.logs_in()
    return shell


async def test_a_conversation_across_protocols(tmp_path: Path, nadia: Shell, matt: Shell) -> None:
    for person in (nadia, matt):
        assert person.says("setup", typing=f"{PASSWORD}\n")
    room_id = nadia.says("create", "office", "--invite", matt.user_id)
    assert room_id.startswith("!")
    assert f"{room_id}\tencrypted\t2\toffice" in nadia.says("rooms")
    nadia.says("send", "office", "hello matrix")
    texts = {one["content"].get("body"): one for one in matt.history(room_id)}
    assert texts["hello matrix"]["encrypted"]
    matt.says("send", room_id, "hello native")
    texts = {one["content"].get("body"): one for one in nadia.history(room_id)}
    assert texts["hello native"]["sender"] == matt.user_id
    assert texts["hello native"]["warning"] is None

    path = tmp_path / "note.txt"
    path.write_text("a note")
    nadia.says("file", "office", str(path))
    (event,) = [e for e in matt.history(room_id) if e["content"].get("body") == "note.txt"]
    matt.says("save", room_id, event["event_id"], str(tmp_path / "saved.txt"))
    assert (tmp_path / "saved.txt").read_text() == "a note"

    nadia.says("leave", "office")
    assert nadia.says("rooms") == ""
    nadia.says("logout")
    assert nadia.runs("rooms").returncode == 1


async def test_rooms_that_are_not_encrypted(nadia: Shell, matt: Shell) -> None:
    room_id = nadia.says("create", "lobby", "--plain", "--invite", matt.user_id)
    nadia.says("send", "lobby", "hello")
    (said,) = [e for e in nadia.history("lobby") if e["content"].get("body") == "hello"]
    assert not said["encrypted"]
    assert room_id == said["room_id"]

"""`foyer chat`, as somebody in a shell uses it."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator

import pytest

from e2e.client.chat.terminal import harmless
from tests.e2e.nio_user import NioFlow, NioUser
from tests.e2e.shell import PATIENCE_S, Shell
from tests.support.live_server import LiveServer
from tests.support.olm_session import PASSWORD, registered, unique


class Office:
    """A room of two people, each with an identity; and what Alice needs to come back."""

    def __init__(self, alice: Shell, bob: Shell) -> None:
        self.alice, self.bob = alice, bob
        for shell in (alice, bob):
            shell.logs_in()
        self.recovery_key = alice.says("setup", typing=f"{PASSWORD}\n")
        bob.says("setup", typing=f"{PASSWORD}\n")
        self.room_id = alice.says("create", "office", "--invite", bob.user_id)
        assert f"{self.room_id}\tinvitation" in bob.says("rooms")
        assert bob.says("join", self.room_id) == self.room_id
        bob.says("send", self.room_id, "hello")


@pytest.fixture(scope="module")
def office(server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    home = tmp_path_factory.mktemp("office")
    shells = [Shell(home / name, server.url, new_account(server.url, name)) for name in "ab"]
    yield Office(*shells)
    for shell in shells:
        shell.closes()


def new_account(url: str, name: str) -> str:
    return asyncio.run(registered(url, unique(name))).user_id


def test_messages_are_encrypted_and_trusted(office):
    assert f"{office.room_id}\tencrypted\t2\toffice" in office.alice.says("rooms")
    heard = office.alice.history("office")[-1]
    assert (heard["content"]["body"], heard["encrypted"]) == ("hello", True)
    assert (heard["warning"], heard["problem"]) == (None, None)


def test_a_file_arrives_as_it_was(office, tmp_path):
    sent, saved = tmp_path / "notes.txt", tmp_path / "saved.txt"
    sent.write_bytes(os.urandom(200_000))
    event_id = office.bob.says("file", office.room_id, str(sent))
    office.alice.says("save", office.room_id, event_id, str(saved))
    assert saved.read_bytes() == sent.read_bytes()
    again = office.alice.runs("save", office.room_id, event_id, str(saved))
    assert (again.returncode, "exists" in again.stderr) == (1, True)


def test_each_line_of_a_pipe_is_a_message(office):
    office.alice.says("open", "office", typing="one\ntwo\n")
    texts = [one["content"].get("body") for one in office.bob.history("office")]
    assert texts[-2:] == ["one", "two"]


def test_a_new_device_recovers_what_was_said(office, tmp_path):
    office.alice.says("rooms")
    new = Shell(tmp_path / "new", office.alice.url, office.alice.user_id)
    new.logs_in()
    wrong = new.runs("recover", typing="EsTc LW2K\n")
    assert wrong.returncode == 1
    recovered = new.runs("recover", typing=f"{office.recovery_key}\n")
    assert recovered.returncode == 0, recovered.stderr
    assert "hello" in [one["content"].get("body") for one in new.history("office")]
    trusts = [line.split("\t")[1] for line in new.says("devices").splitlines()[1:]]
    assert trusts == ["verified", "verified"]


def test_room_keys_move_in_a_file(office, tmp_path):
    path, secret = tmp_path / "keys.txt", "open sesame\n"
    written = office.alice.runs("export-keys", str(path), typing=secret)
    assert (written.returncode, path.stat().st_mode & 0o777) == (0, 0o600)
    again = office.alice.runs("export-keys", str(path), typing=secret)
    assert (again.returncode, "exists" in again.stderr) == (1, True)
    new = Shell(tmp_path / "new", office.alice.url, office.alice.user_id)
    new.logs_in()
    assert "hello" not in [one["content"].get("body") for one in new.history(office.room_id)]
    wrong = new.runs("import-keys", str(path), typing="no idea\n")
    assert wrong.returncode == 1
    new.says("import-keys", str(path), typing=secret)
    assert "hello" in [one["content"].get("body") for one in new.history(office.room_id)]
    new.says("logout")


def test_two_people_verify_each_other(office):
    """Both ask at once, and both say yes."""
    people = [(office.alice, office.bob), (office.bob, office.alice)]
    running = [one.starts("verify", other.user_id) for one, other in people]
    for process in running:
        process.stdin.write("y\n")
        process.stdin.flush()
    shown = []
    for process in running:
        output, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, errors
        shown.append(output.splitlines()[:2])
    assert shown[0] == shown[1]
    for one, other in people:
        assert "\tverified\t" in one.says("devices", other.user_id)


def test_one_shows_a_code_and_the_other_scans_it(office, tmp_path):
    """Through pipes there is no picture, but its text. Alice's new device and her old one."""
    new = Shell(tmp_path / "new", office.alice.url, office.alice.user_id)
    new.logs_in()
    showing = office.alice.starts("verify", office.alice.user_id, "--qr")
    scanning = new.starts("verify", office.alice.user_id, "--scan")
    code = showing.stdout.readline()
    scanning.stdin.write(code)
    scanning.stdin.flush()
    showing.stdin.write("y\n")
    showing.stdin.flush()
    for process in (showing, scanning):
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, errors
    own = [line.split("\t") for line in new.says("devices").splitlines()[1:]]
    assert {line[1] for line in own} == {"verified"}
    new.says("logout")


async def test_a_client_that_knows_no_requests_is_verified_by_numbers(server, office, tmp_path):
    async with NioUser.enters(server.url, unique("nio"), tmp_path) as bot:
        await bot.joins(office.bob.says("create", "bots", "--invite", bot.user_id))
        await bot.sees_devices(office.bob.user_id, 1)
        verifying = office.bob.starts("verify", bot.user_id, "--device", bot.device_id)
        await bot.until(lambda: bot.nio.key_verifications)
        side, (flow_id,) = NioFlow(bot), bot.nio.key_verifications
        await side.accepts(flow_id)
        numbers = await side.decimals()
        shown = await asyncio.to_thread(verifying.stdout.readline)
        assert shown.split() == [str(number) for number in numbers]
        verifying.stdin.write("y\n")
        verifying.stdin.flush()
        await side.confirms()
        _, errors = await asyncio.to_thread(verifying.communicate, timeout=PATIENCE_S)
        assert verifying.returncode == 0, errors
        assert f"{bot.device_id}\tverified\t" in office.bob.says("devices", bot.user_id)


def test_what_is_no_code_ends_the_verification(office):
    both = office.alice.runs("verify", office.bob.user_id, "--qr", "--scan")
    assert (both.returncode, "one side shows" in both.stderr) == (2, True)
    showing = office.bob.starts("verify", office.alice.user_id, "--qr")
    wrong = office.alice.runs("verify", office.bob.user_id, "--scan", typing="no code!\n")
    assert (wrong.returncode, "neither a picture" in wrong.stderr) == (1, True)
    _, errors = showing.communicate(timeout=PATIENCE_S)
    assert (showing.returncode, "not verified" in errors) == (1, True)


def test_who_is_invited_reads_what_was_said_before(office, tmp_path):
    carol = Shell(tmp_path / "carol", office.alice.url, new_account(office.alice.url, "carol"))
    carol.logs_in()
    carol.says("setup", typing=f"{PASSWORD}\n")
    office.alice.says("send", office.room_id, "before Carol")
    told = office.alice.runs("invite", office.room_id, carol.user_id)
    assert (told.returncode, "keys of what was said" in told.stderr) == (0, True)
    carol.says("join", office.room_id)
    read = [one for one in carol.history(office.room_id) if one["content"].get("body")]
    (before,) = [one for one in read if one["content"]["body"] == "before Carol"]
    assert before["warning"] == f"key from bundle by {office.alice.user_id}"
    carol.says("leave", office.room_id)


def test_one_command_at_a_time_has_the_keys_and_an_interruption_ends_it_cleanly(office):
    opened = office.bob.starts("open", "office")
    assert "hello" in opened.stdout.readline()
    refused = office.bob.runs("rooms")
    assert (refused.returncode, "another process" in refused.stderr) == (1, True)
    opened.send_signal(signal.SIGINT)
    # Before its input ends, which would end it, too.
    opened.wait(timeout=PATIENCE_S)
    output, errors = opened.communicate(timeout=PATIENCE_S)
    assert opened.returncode == 130
    assert "Traceback" not in output + errors


def test_secrets_stay_where_they_are(server, tmp_path):
    dora = Shell(tmp_path / "dora", server.url, new_account(server.url, "dora"))
    wrong = dora.runs("login", dora.url, dora.user_id, typing="no such password\n")
    assert wrong.returncode == 1
    assert "no such password" not in wrong.stdout + wrong.stderr
    assert not dora.home.exists()
    dora.logs_in()
    kept = dora.home / "credentials.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    token = json.loads(kept.read_text())["credentials"]["access_token"]
    done = dora.runs("devices")
    assert token not in done.stdout + done.stderr
    again = dora.runs("login", dora.url, dora.user_id, typing=f"{PASSWORD}\n")
    assert "already" in again.stderr
    dora.says("logout")
    assert list(dora.home.iterdir()) == []
    assert "not logged in" in dora.runs("rooms").stderr


def test_what_others_write_does_not_steer_the_terminal():
    assert harmless("a\x1b[2Jb\x07\u202ec\nd") == "a[2Jbc d"
    assert harmless("\U0001f468\u200d\U0001f469 é ü") == "\U0001f468\u200d\U0001f469 é ü"

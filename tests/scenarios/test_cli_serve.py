"""`foyer serve` as operators run it, with its embedded database."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

PASSWORD = "correct horse battery staple"
_CODE = re.compile(r"^ {4}([a-z0-9]{5}(?:-[a-z0-9]{5}){4})$", re.MULTILINE)


class Server:
    """A server that runs. `said`: what it printed until it was ready."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""
        assert process.stdout is not None
        for line in process.stdout:
            self.said += line
            if line.startswith("ready "):
                break
        self.url = self.said.rpartition("ready ")[2].strip()

    def post(self, path: str, body: dict[str, Any], token: str = "") -> tuple[int, Any]:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        request = Request(self.url + path, json.dumps(body).encode(), headers, method="POST")
        try:
            with urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except HTTPError as error:
            return error.code, json.loads(error.read())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextmanager
def serving(data_dir: Path) -> Iterator[Server]:
    process = subprocess.Popen(
        _foyer("serve", "--listen", "127.0.0.1:0", data_dir=data_dir),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Server(process)
    finally:
        process.terminate()
        process.wait(timeout=60)
        assert process.stdout is not None
        process.stdout.close()


def run(
    data_dir: Path, *arguments: str, name: str = "example.org"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _foyer(*arguments, data_dir=data_dir, name=name),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _foyer(*arguments: str, data_dir: Path, name: str = "example.org") -> list[str]:
    options = ("--data-dir", str(data_dir), "--server-name", name)
    return [sys.executable, "-m", "homeserver", *arguments, *options]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@dataclass(frozen=True)
class Running:
    """A server that runs for several tests."""

    data_dir: Path
    server: Server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data_dir = tmp_path_factory.mktemp("running") / "data"
    with serving(data_dir) as server:
        yield Running(data_dir, server)


class TestFirstStart:
    def test_the_code_makes_the_first_administrator_and_the_name_stays(self, data_dir):
        with serving(data_dir) as server:
            code = _CODE.search(server.said)
            assert code is not None
            root = {"email": "root@example.org", "name": "Root", "password": PASSWORD}
            status, registered = server.post("/api/auth/register", root | {"code": code[1]})
            assert status == 201
            assert server.post("/api/invitations", {}, registered["token"])[0] == 201
            assert server.stop() == 0
        refused = run(data_dir, "serve", "--listen", "127.0.0.1:0", name="example.com")
        assert refused.returncode == 3
        assert "example.org" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1

    def test_without_the_code_nobody_registers(self, running):
        bob = {"email": "bob@example.org", "name": "Bob", "password": PASSWORD}
        status, answer = running.server.post("/api/auth/register", bob)
        assert (status, answer["code"]) == (403, "FORBIDDEN")


class TestCommandsMeanwhile:
    def test_accounts_and_tokens_work_at_once(self, running):
        data_dir, server = running.data_dir, running.server
        added = run(
            data_dir,
            *("user", "add", "alice@example.org", "--name", "Alice"),
            *("--password", PASSWORD, "--admin"),
        )
        assert added.returncode == 0, added.stderr
        login = {"email": "alice@example.org", "password": PASSWORD}
        assert server.post("/api/auth/login", login)[0] == 200
        token = run(data_dir, "token", "create", "alice").stdout.strip()
        assert server.post("/api/ws/ticket", {}, token)[0] == 200
        assert run(data_dir, "user", "deactivate", "alice").returncode == 0
        assert server.post("/api/auth/login", login)[0] == 401

    def test_a_second_server_is_refused(self, running):
        second = run(running.data_dir, "serve", "--listen", "127.0.0.1:0")
        assert second.returncode == 4
        assert second.stderr.startswith("foyer: ")
        assert str(running.server.process.pid) in second.stderr
        assert len(second.stderr.splitlines()) == 1


class TestWhatKeepsItFromStarting:
    def test_an_address_in_use(self, data_dir):
        with socket.create_server(("127.0.0.1", 0)) as other:
            address = f"127.0.0.1:{other.getsockname()[1]}"
            refused = run(data_dir, "serve", "--listen", address)
        assert refused.returncode == 6
        assert address in refused.stderr
        assert len(refused.stderr.splitlines()) == 1

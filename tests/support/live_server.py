"""A real `foyer serve`: a process of its own on a data directory of its own, to be used, stopped,
killed and started again.

    with running(tmp_path, {"auth": {"registration": "open"}}) as server:
        server.url                     # http://127.0.0.1:…
        server.restart(signal.SIGKILL)

It is configured as operators would, by a file, and speaks to tests as to anybody: through its
address, its standard output, its log and its command line.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

HANGING_S = 180.0
"""A process that takes longer to start or to stop will never do so."""

SERVER_NAME = "foyer.example"
JWT_SECRET = "a secret of the tests, and longer than 32 bytes"
PROXY = "127.0.0.1"
"""Where tests connect from is a trusted proxy, so `X-Forwarded-For` says who they are."""
ORIGIN = "https://app.example.com"

Settings = Mapping[str, Mapping[str, Any]]
"""Values by section and key, as in the configuration file."""

BASE: Settings = {
    "server": {
        "name": SERVER_NAME,
        "trusted_proxies": [f"{PROXY}/32"],
        "cors_origins": [ORIGIN],
        "shutdown_grace_seconds": 5,
    },
    # Hashing for real would be most of what a run does.
    "auth": {
        "registration": "open",
        "jwt_secret": JWT_SECRET,
        "argon2_time_cost": 1,
        "argon2_memory_kib": 64,
    },
    "logging": {"level": "debug"},
}

GENEROUS: Settings = {
    "rooms": {"typing_timeout_seconds": 1},
    "presence": {"offline_after_seconds": 0.3},
    "websocket": {"max_pending_bytes": 65_536},
    "turn": {"uris": ["turn:turn.example.org"], "shared_secret": "a secret of coturn"},
    "rate_limits": {
        "messages_per_second": 10_000,
        "messages_burst": 100_000,
        "requests_per_second": 10_000,
        "requests_burst": 100_000,
        "address_requests_per_second": 10_000,
        "address_requests_burst": 100_000,
        "registrations_per_hour": 100_000,
        "registrations_burst": 100_000,
    },
}
"""Limits that hardly anybody runs into, and little patience with who stops typing or leaves."""

STRICT: Settings = {
    "auth": {"registration": "invite"},
    "websocket": {"max_connections_per_user": 2, "resume_max_events": 20},
    "rate_limits": {
        "messages_per_second": 1,
        "messages_burst": 30,
        "requests_per_second": 1,
        "requests_burst": 60,
        "address_requests_per_second": 1,
        "address_requests_burst": 120,
        "registrations_per_hour": 3,
        "registrations_burst": 3,
    },
}
"""Limits that are soon reached."""

_ROOT = Path(__file__).parents[2]
_READY = "ready "
_CODE = re.compile(r"^ {4}([a-z0-9]{5}(?:-[a-z0-9]{5}){4})$", re.MULTILINE)
_BAD_LEVELS = frozenset({"error", "critical"})


class LiveServer:
    """A server on a directory. `said`: what it printed until it was ready, the last time."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.data_dir = directory / "data"
        self.log_path = directory / "log"
        self.config_path = directory / "foyer.toml"
        self.config_path.write_text(_toml(settings))
        self.said = ""
        self.url = ""
        self.administrator: str | None = None
        """The e-mail address of the account that administrates it, once a play has made one."""
        self.invitation: str | None = None
        """A code with which people of plays may register."""
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def websocket_url(self) -> str:
        return self.url.replace("http://", "ws://") + "/ws"

    @property
    def first_admin_code(self) -> str | None:
        """What it printed for the first administrator."""
        found = _CODE.search(self.said)
        return None if found is None else found[1]

    @property
    def log(self) -> str:
        """Everything it wrote to standard error, over all starts."""
        return self.log_path.read_text(errors="replace")

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        """The same, as the objects that the lines are."""
        return [json.loads(line) for line in _whole_lines(self.log)]

    def start(self) -> None:
        """Returns when the server says that it is ready. Raises AssertionError if it ends."""
        assert self._process is None
        with self.log_path.open("a") as log:
            self._process = subprocess.Popen(
                self._command("serve", "--listen", "127.0.0.1:0"),
                cwd=_ROOT,
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        guard = Timer(HANGING_S, self._process.kill)
        guard.start()
        try:
            self._wait_until_ready(self._process)
        finally:
            guard.cancel()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ends it, by SIGKILL without any warning. Returns the exit code."""
        assert self._process is not None
        self._process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        """Until it has ended. Returns the exit code."""
        process, self._process = self._process, None
        assert process is not None
        try:
            code = process.wait(HANGING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            assert process.stdout is not None
            process.stdout.close()
        return code

    def restart(self, how: signal.Signals = signal.SIGTERM) -> None:
        """It has another address afterwards."""
        self.stop(how)
        self.start()

    def close(self) -> None:
        """Stops it if it runs."""
        if self._process is not None:
            self.stop()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal and does not wait."""
        assert self._process is not None
        self._process.send_signal(number)

    def foyer(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command as the operator of this server would."""
        return subprocess.run(
            self._command(*arguments),
            cwd=_ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=HANGING_S,
            check=False,
        )

    @contextmanager
    def foyer_runs(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command that is not waited for; it is ended with the block."""
        process = subprocess.Popen(
            self._command(*arguments),
            cwd=_ROOT,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(HANGING_S)

    def problems(self, since: int = 0) -> list[str]:
        """Lines of its log that tell of a defect. since: length of the log, in characters."""
        lines = _whole_lines(self.log[since:])
        return [line for line in lines if json.loads(line).get("level") in _BAD_LEVELS]

    def _command(self, *arguments: str) -> list[str]:
        options = ("--config", str(self.config_path), "--data-dir", str(self.data_dir))
        return [sys.executable, "-m", "homeserver", *arguments, *options]

    def _wait_until_ready(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.said = ""
        for line in process.stdout:
            self.said += line
            if line.startswith(_READY):
                self.url = line.removeprefix(_READY).strip()
                return
        code = self.wait()
        raise AssertionError(f"The server ended with {code}:\n{self.log[-4000:]}")


@contextmanager
def running(directory: Path, *settings: Settings) -> Iterator[LiveServer]:
    """A server for as long as the block lasts. settings: over BASE, the later ones winning."""
    server = LiveServer(directory, merged(BASE, *settings))
    try:
        server.start()
        yield server
    finally:
        server.close()


def merged(*several: Settings) -> Settings:
    """The later ones win, key by key."""
    result: dict[str, dict[str, Any]] = {}
    for settings in several:
        for section, values in settings.items():
            result[section] = {**result.get(section, {}), **values}
    return result


def _whole_lines(log: str) -> list[str]:
    """Without one that is just being written; text in them may have separators of its own."""
    return log.split("\n")[:-1]


def _toml(settings: Settings) -> str:
    """TOML's basic strings, numbers, booleans and arrays are JSON's."""
    lines: list[str] = []
    for section, values in settings.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def environment() -> dict[str, str]:
    """Nothing that whoever runs the tests has configured. Bytecode is kept: compiling is half of
    what it takes to start.
    """
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("FOYER") and key != "PYTHONDONTWRITEBYTECODE"
    }

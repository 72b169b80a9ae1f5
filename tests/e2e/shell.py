"""Somebody in a shell with `foyer chat`."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.live_server import environment
from tests.support.olm_session import PASSWORD

_ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
"""For what a command of a test may take on a busy machine; it hangs if it takes longer."""


class Shell:
    """One person's: a directory for their keys, pipes instead of a terminal."""

    def __init__(self, home: Path, url: str, user_id: str) -> None:
        self.home = home
        self.url = url
        self.user_id = user_id
        self._running: list[subprocess.Popen[str]] = []

    def runs(
        self, *arguments: str, typing: str = "", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(*arguments),
            cwd=_ROOT,
            env=self._environment(env),
            input=typing,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def says(self, *arguments: str, **options: str) -> str:
        """What a command that succeeds prints."""
        done = self.runs(*arguments, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def starts(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self._command(*arguments),
            cwd=_ROOT,
            env=self._environment(None),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        return process

    def closes(self) -> None:
        for process in self._running:
            process.kill()
            process.communicate()

    def logs_in(self) -> None:
        self.says("login", self.url, self.user_id, typing=f"{PASSWORD}\n")

    def history(self, room_id: str) -> list[dict]:
        lines = self.says("history", room_id).splitlines()
        return [json.loads(line) for line in lines]

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "e2e.client.chat", *arguments]

    def _environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        return {**environment(), "FOYER_CHAT_HOME": str(self.home), **(more or {})}

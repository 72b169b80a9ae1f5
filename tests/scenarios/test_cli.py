"""`foyer …` as scripts run it: exit codes, JSON, one sentence for each error."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import jwt
import pytest
import pytest_asyncio
from typer.testing import CliRunner

from homeserver.cli import COMMANDS, app, load
from homeserver.storage.data_dir import DataDirLock
from homeserver.streams.bus import CHANNEL
from tests.support.postgres import fresh_database
from tests.support.stand_in import stand_in

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The only line on standard error."""
        (line,) = self.err.splitlines()
        assert line.startswith("foyer: ")
        return line


@dataclass(frozen=True)
class Shell:
    """Runs commands on one data directory and database. program: arguments for Python."""

    options: Sequence[str]
    environment: dict[str, str]
    program: Sequence[str] = ("-m", "homeserver")

    def run(self, *arguments: str, stdin: str = "") -> Ran:
        done = subprocess.run(
            [sys.executable, *self.program, *arguments, *self.options],
            env=os.environ | self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)


CHEAP = {"FOYER__AUTH__ARGON2_TIME_COST": "1", "FOYER__AUTH__ARGON2_MEMORY_KIB": "64"}
IMPATIENT = """
from homeserver.cli import main, opening
opening._STARTING_S = 0.5
main()
"""
"""The same program, which waits less for a server that is starting."""


def shell_on(dsn: str, data_dir: Path) -> Shell:
    """With an external database, as for a server of another machine."""
    environment = {
        "FOYER__DATABASE__URL": dsn,
        "FOYER__SERVER__DATA_DIR": str(data_dir),
        "FOYER__SERVER__NAME": "example.org",
        **CHEAP,
    }
    return Shell(options=(), environment=environment)


@pytest.fixture
def shell(database_dsn: str, tmp_path: Path) -> Shell:
    return shell_on(database_dsn, tmp_path / "data")


@pytest.fixture
def bare() -> Shell:
    """Without any settings."""
    return Shell(options=(), environment={})


class TestUserAdd:
    def test_a_password_is_made_and_shown(self, shell):
        added = shell.run("user", "add", "alice@example.org", "--name", "Alice", "--json")
        assert added.status == 0
        assert added.json | {"created_at": "", "password": ""} == {
            "id": added.json["id"],
            "user_id": "@alice:example.org",
            "username": "alice",
            "email": "alice@example.org",
            "name": "Alice",
            "admin": False,
            "created_at": "",
            "deactivated_at": None,
            "password": "",
        }
        assert len(added.json["password"]) == 29

    def test_a_password_that_is_given_is_not_shown(self, shell):
        arguments = ("user", "add", "alice@example.org", "--name", "Alice", "--admin")
        added = shell.run(*arguments, "--password-stdin", stdin=f"{PASSWORD}\n")
        assert added.status == 0
        assert PASSWORD not in added.out + added.err
        assert "admin           yes" in added.out.splitlines()

    def test_what_is_taken(self, shell):
        arguments = ("user", "add", "alice@example.org", "--name", "Alice")
        shell.run(*arguments)
        again = shell.run(*arguments, "--password", PASSWORD)
        assert (again.status, again.out) == (1, "")
        assert "e-mail address" in again.sentence

    @pytest.mark.parametrize(
        "arguments",
        [
            ("alice@example.org", "--name", "Alice", "--password", "short"),
            ("alice@example.org", "--name", "Alice", "--password", ""),
            ("alice", "--name", "Alice"),
            ("alice@example.org", "--name", " "),
            ("alice@example.org", "--name", "Alice", "--username", "no spaces"),
        ],
    )
    def test_what_cannot_be(self, shell, arguments):
        refused = shell.run("user", "add", *arguments)
        assert refused.status == 2
        assert refused.sentence

    def test_two_passwords_are_one_too_many(self, shell):
        arguments = ("alice@example.org", "--name", "Alice", "--password", "x", "--password-stdin")
        assert shell.run("user", "add", *arguments).status == 2


COLUMNS = ["username", "email", "name", "admin", "active", "created", "id"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def populated(
    postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shell]:
    """With Alice, and with Bob, whose account one of the tests ends."""
    async with fresh_database(postgres) as dsn:
        shell = shell_on(dsn, tmp_path_factory.mktemp("populated") / "data")
        for name in ("Alice", "Bob [b]"):
            local = name.split()[0].lower()
            arguments = (f"{local}@example.org", "--name", name, "--password", PASSWORD)
            assert shell.run("user", "add", *arguments).status == 0
        yield shell


class TestOtherUserCommands:
    @pytest.fixture
    def shell(self, populated: Shell) -> Shell:
        return populated

    def test_list(self, shell):
        listed = shell.run("user", "list", "--json")
        assert [user["email"] for user in listed.json] == ["alice@example.org", "bob@example.org"]
        table = shell.run("user", "list").out.splitlines()
        assert table[0].split() == COLUMNS
        assert "Bob [b]" in table[2]

    def test_show(self, shell):
        shown = shell.run("user", "show", "@alice:example.org", "--json")
        assert shown.json["email"] == "alice@example.org"
        again = shell.run("user", "show", shown.json["id"])
        assert again.out.splitlines()[1] == "user_id         @alice:example.org"

    def test_who_does_not_exist(self, shell):
        for command in (("user", "show"), ("user", "deactivate"), ("token", "create")):
            refused = shell.run(*command, "carol")
            assert (refused.status, refused.out) == (1, "")
            assert "carol" in refused.sentence

    def test_password_and_deactivate(self, shell):
        assert len(shell.run("user", "password", "bob", "--json").json["password"]) == 29
        ended = shell.run("user", "deactivate", "bob", "--json")
        assert ended.json["deactivated_at"]
        refused = shell.run("user", "password", "bob")
        assert refused.status == 1
        assert "deactivated" in refused.sentence

    def test_a_token_is_all_that_is_printed(self, shell):
        created = shell.run("token", "create", "alice", "--days", "3")
        claims = jwt.decode(created.out.strip(), options={"verify_signature": False})
        assert claims["iss"] == "example.org"
        assert claims["exp"] - claims["iat"] == 3 * 24 * 3600
        assert created.err == ""

    def test_a_token_as_json(self, shell):
        created = shell.run("token", "create", "alice", "--json").json
        assert created["user"]["user_id"] == "@alice:example.org"
        assert created["expires_in"] == 24 * 3600
        assert created["refresh_token"]


class TestARunningServer:
    """Commands use its database and tell it what changed."""

    async def test_it_hears_of_a_deactivation(self, shell, database_dsn):
        shell.run("user", "add", "alice@example.org", "--name", "Alice", "--password", PASSWORD)
        shell.run("token", "create", "alice")
        heard: list[str] = []
        connection = await asyncpg.connect(database_dsn)
        await connection.add_listener(CHANNEL, lambda *notice: heard.append(notice[-1]))
        shell.run("user", "deactivate", "alice")
        await connection.fetchval("SELECT 1")
        await connection.close()
        topics = [json.loads(notice)[1] for notice in heard]
        assert topics == ["account-changed", "session-revoked"]


def embedded(data_dir: Path) -> Shell:
    """With the database in the data directory."""
    return Shell(options=("--data-dir", str(data_dir)), environment=dict(CHEAP))


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """A data directory in which a command made the database, and what that did."""
    data_dir = tmp_path_factory.mktemp("begun") / "data"
    arguments = ("alice@example.org", "--name", "Alice", "--server-name", "example.org")
    return data_dir, embedded(data_dir).run("user", "add", *arguments)


class TestTheEmbeddedDatabase:
    def test_without_a_server_a_command_starts_it_and_stops_it(self, begun):
        data_dir, added = begun
        assert added.status == 0, added.err
        listed = embedded(data_dir).run("user", "list", "--json")
        assert [user["user_id"] for user in listed.json] == ["@alice:example.org"]
        with DataDirLock(data_dir=data_dir):
            pass
        assert not (data_dir / "postgres" / "postmaster.pid").exists()

        other = embedded(data_dir).run("user", "list", "--server-name", "example.com")
        assert other.status == 3
        assert "example.org" in other.sentence

    def test_with_a_server_a_command_uses_its_database(self, begun):
        data_dir, _ = begun
        with DataDirLock(data_dir=data_dir), stand_in(data_dir):
            listed = embedded(data_dir).run("user", "list", "--json")
        assert [user["username"] for user in listed.json] == ["alice"]

    def test_a_directory_that_something_else_uses(self, tmp_path):
        shell = replace(embedded(tmp_path / "data"), program=("-c", IMPATIENT))
        with DataDirLock(data_dir=tmp_path / "data"):
            refused = shell.run("user", "list")
        assert refused.status == 4
        assert str(os.getpid()) in refused.sentence

    def test_a_directory_that_is_none(self, tmp_path):
        (tmp_path / "data").write_text("")
        refused = embedded(tmp_path / "data").run("user", "list")
        assert refused.status == 4
        assert refused.sentence

    def test_keys_that_others_may_read(self, shell, tmp_path):
        shell.run("user", "list")
        (tmp_path / "data" / "keys" / "jwt.key").chmod(0o644)
        refused = shell.run("user", "list")
        assert refused.status == 4
        assert "chmod 600" in refused.sentence


class TestADatabaseThatIsAway:
    def test_exit_code_and_sentence(self, bare):
        environment = {"FOYER__DATABASE__URL": "postgres://nobody@127.0.0.1:1/none"}
        refused = Shell(options=(), environment=environment).run("user", "list")
        assert refused.status == 5
        assert "database" in refused.sentence


class TestConfig:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "foyer.toml"
        path.write_text('[server]\nname = "example.org"\n[auth]\njwt_secret = "' + "s" * 40 + '"\n')
        return path

    def test_a_good_file(self, bare, file):
        checked = bare.run("config", "check", "--config", str(file))
        assert (checked.status, checked.out) == (0, "The configuration is good.\n")

    def test_every_mistake_is_told(self, bare, file):
        file.write_text('[server]\nnam = "example.org"\nbind_addr = "nowhere"\n')
        checked = bare.run("config", "check", "--config", str(file))
        assert checked.status == 3
        assert "server.nam" in checked.err
        assert "server.bind_addr" in checked.err
        assert "Traceback" not in checked.err

    def test_a_file_that_is_missing(self, bare, tmp_path):
        checked = bare.run("config", "show", "--config", str(tmp_path / "none.toml"))
        assert checked.status == 3
        assert "none.toml" in checked.sentence

    def test_secrets_are_not_shown(self, bare, file):
        for arguments in ((), ("--json",)):
            shown = bare.run("config", "show", "--config", str(file), *arguments)
            assert "example.org" in shown.out
            assert "sssss" not in shown.out

    def test_the_example_is_a_good_file(self, bare, tmp_path):
        path = tmp_path / "example.toml"
        path.write_text(bare.run("config", "example").out)
        assert bare.run("config", "check", "--config", str(path)).status == 0

    def test_the_file_can_be_named_in_the_environment(self, file):
        shell = Shell(options=(), environment={"FOYER_CONFIG": str(file)})
        assert shell.run("config", "show", "--json").json["server"]["name"] == "example.org"


class TestHelp:
    @pytest.mark.parametrize(
        "command",
        [
            (),
            ("serve",),
            ("user",),
            ("user", "add"),
            ("user", "list"),
            ("user", "show"),
            ("user", "password"),
            ("user", "deactivate"),
            ("token",),
            ("token", "create"),
            ("config",),
            ("config", "check"),
            ("config", "show"),
            ("config", "example"),
        ],
    )
    def test_it_teaches(self, command):
        shown = CliRunner().invoke(app, [*command, "--help"])
        assert shown.exit_code == 0
        if len(command) == 2 or command == ("serve",):
            assert f"foyer {' '.join(command)}" in shown.output.split("Examples:")[1]

    @pytest.mark.parametrize("name", COMMANDS)
    def test_the_list_says_what_the_command_says(self, name):
        _, line = COMMANDS[name]
        assert load(name).help.partition("\n\n")[0] == line

    def test_wrong_usage(self, bare):
        assert bare.run("usr").status == 2
        assert bare.run("user", "add", "--nme", "x").status == 2

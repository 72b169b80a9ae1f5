"""The server's key files: made once, private, durable."""

import os
import stat
from pathlib import Path
from secrets import token_bytes

import pytest

from homeserver.server_keys import KeysError, ServerKeys, load_or_create


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path


def keys_of(data_dir: Path, *, configured: str = "") -> ServerKeys:
    return load_or_create(data_dir, configured_jwt_secret=configured, random_bytes=token_bytes)


class TestFirstStart:
    def test_keys_are_made_and_found_again(self, data_dir):
        first, second = keys_of(data_dir), keys_of(data_dir)
        assert first.jwt_secret == second.jwt_secret
        assert first.signing_key.key_id == second.signing_key.key_id
        assert first.signing_key.seed() == second.signing_key.seed()

    def test_nobody_else_may_look_at_them(self, data_dir):
        keys_of(data_dir)
        assert stat.S_IMODE((data_dir / "keys").stat().st_mode) == 0o700
        files = sorted((data_dir / "keys").iterdir())
        assert [file.name for file in files] == ["jwt.key", "signing.key"]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}

    def test_they_are_private_whatever_the_umask_is(self, data_dir):
        old = os.umask(0)
        try:
            keys_of(data_dir)
        finally:
            os.umask(old)
        assert stat.S_IMODE((data_dir / "keys" / "jwt.key").stat().st_mode) == 0o600

    def test_two_servers_have_different_keys(self, tmp_path):
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        one, two = keys_of(tmp_path / "one"), keys_of(tmp_path / "two")
        assert one.jwt_secret != two.jwt_secret
        assert one.signing_key.seed() != two.signing_key.seed()
        assert one.signing_key.key_id != two.signing_key.key_id

    def test_what_a_crash_left_of_an_attempt_does_not_matter(self, data_dir):
        (data_dir / "keys").mkdir(mode=0o700)
        (data_dir / "keys" / f"jwt.{os.getpid()}").write_text("half")
        assert len(keys_of(data_dir).jwt_secret) == 32


class TestConfiguredSecret:
    def test_it_is_used_and_no_file_is_made(self, data_dir):
        configured = "a secret that somebody chose, long enough"
        assert keys_of(data_dir, configured=configured).jwt_secret == configured.encode()
        assert not (data_dir / "keys" / "jwt.key").exists()


class TestRefusals:
    @pytest.mark.parametrize("name", ["jwt.key", "signing.key"])
    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
    def test_a_key_that_others_may_use(self, data_dir, name, mode):
        keys_of(data_dir)
        (data_dir / "keys" / name).chmod(mode)
        with pytest.raises(KeysError, match=f"{name}.*chmod 600"):
            keys_of(data_dir)

    @pytest.mark.parametrize("name", ["jwt.key", "signing.key"])
    @pytest.mark.parametrize(
        "content", [b"", b"\xff\xfe", b"c2hvcnQ", b"ed25519 a_1", b"rsa a_1 " + b"A" * 43]
    )
    def test_a_file_that_holds_no_key(self, data_dir, name, content):
        keys_of(data_dir)
        (data_dir / "keys" / name).write_bytes(content)
        with pytest.raises(KeysError, match=name):
            keys_of(data_dir)

    def test_a_place_where_no_file_can_be(self, data_dir):
        (data_dir / "keys").write_text("")
        with pytest.raises(KeysError):
            keys_of(data_dir)

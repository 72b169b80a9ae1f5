"""Keys that are written down, stored, exported and backed up; and files."""

import random
from typing import Any

import pytest
import vodozemac
from mautrix.crypto import attachments as mautrix_attachments
from mautrix.crypto.ssss import KeyMetadata
from nio.crypto import key_export as nio_export
from olm.pk import PkEncryption

from e2e.client import attachments, key_backup, key_export, recovery_key, secret_storage
from e2e.client.errors import BadFile, BadSecret
from e2e.client.primitives import aes_ctr, hkdf_sha256, x25519_public
from homeserver.events import base64

KEY = bytes(range(32))


@pytest.fixture
def entropy():
    return random.Random(5).randbytes


class TestPrimitives:
    def test_hkdf_as_in_rfc_5869(self):
        """Appendix A, test cases 1 and 3."""
        one = hkdf_sha256(b"\x0b" * 22, 42, salt=bytes(range(13)), info=bytes(range(0xF0, 0xFA)))
        assert one.hex() == (
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        )
        three = hkdf_sha256(b"\x0b" * 22, 42)
        assert three.hex() == (
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
        )

    def test_aes_ctr_as_in_sp_800_38a(self):
        """F.5.5, the first two blocks."""
        key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
        block = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
        plain = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        cipher = "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        assert aes_ctr(key, block, bytes.fromhex(plain)).hex() == cipher


class TestRecoveryKey:
    """Appendices, "Cryptographic key representation"."""

    WRITTEN = "EsTc LW2K PGiF wKEA 3As5 g5c4 BXwk qeeJ ZJV8 Q9fu gUMN UE4d"

    def test_a_key_that_is_known_from_other_clients(self):
        key = recovery_key.decode(self.WRITTEN)
        assert key.hex().startswith("77076d0a7318a57d3c16c17251b26645")
        assert recovery_key.encode(key) == self.WRITTEN

    def test_white_space_does_not_matter(self):
        assert recovery_key.decode(self.WRITTEN.replace(" ", "\n")) == recovery_key.decode(
            self.WRITTEN
        )

    def test_there_and_back(self):
        for key in (KEY, bytes(32), b"\xff" * 32):
            assert recovery_key.decode(recovery_key.encode(key)) == key

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "EsTc",
            WRITTEN.replace("UE4d", "UE4e"),
            WRITTEN.replace("EsTc", "EsTd"),
            WRITTEN + "1",
            WRITTEN.replace("3As5", "0As5"),
        ],
    )
    def test_what_is_mistyped_is_refused(self, text):
        with pytest.raises(BadSecret):
            recovery_key.decode(text)

    @pytest.mark.parametrize(
        "change", [{"algorithm": "x"}, {"iterations": 0}, {"iterations": 10**9}, {"bits": 128}]
    )
    def test_a_passphrase_that_is_used_in_another_way_is_refused(self, change):
        how = {"algorithm": "m.pbkdf2", "salt": "MmMsAlty", "iterations": 1_000, "bits": 256}
        assert len(recovery_key.from_passphrase("secret", how)) == 32
        with pytest.raises(BadSecret):
            recovery_key.from_passphrase("secret", {**how, **change})


class TestSecretStorage:
    """`m.secret_storage.v1.aes-hmac-sha2`."""

    def test_a_secret_is_read_again(self, entropy):
        key, put = secret_storage.create(entropy)
        stored = secret_storage.stored(key, "m.cross_signing.master", "c2VjcmV0", entropy)
        assert secret_storage.read(key, "m.cross_signing.master", stored.content) == "c2VjcmV0"
        assert key.fits(put[0].content)
        assert put[1].content == {"key": key.key_id}

    def test_it_cannot_be_passed_off_as_another_secret(self, entropy):
        key, _ = secret_storage.create(entropy)
        stored = secret_storage.stored(key, "one", "x", entropy)
        with pytest.raises(BadSecret):
            secret_storage.read(key, "another", stored.content)

    def test_a_wrong_key_is_recognised(self, entropy):
        key, put = secret_storage.create(entropy)
        wrong = secret_storage.StorageKey(key.key_id, bytes(32))
        assert not wrong.fits(put[0].content)
        stored = secret_storage.stored(key, "one", "x", entropy)
        with pytest.raises(BadSecret):
            secret_storage.read(wrong, "one", stored.content)

    def test_padding_is_accepted(self, entropy):
        key, _ = secret_storage.create(entropy)
        encrypted = key.encrypt("one", "x", entropy)
        padded = {name: f"{text}{'=' * (-len(text) % 4)}" for name, text in encrypted.items()}
        assert key.decrypt("one", padded) == "x"

    def test_a_passphrase_gives_the_key_again(self, entropy):
        key, put = secret_storage.create(entropy, "correct horse", iterations=1_000)
        how = put[0].content["passphrase"]
        assert recovery_key.from_passphrase("correct horse", how) == key.raw

    def test_mautrix_reads_what_we_store(self, entropy):
        ours, put = secret_storage.create(entropy, "correct horse", iterations=1_000)
        metadata = KeyMetadata.deserialize(put[0].content)
        theirs = metadata.verify_passphrase(ours.key_id, "correct horse")
        assert theirs.recovery_key == recovery_key.encode(ours.raw)
        for key in (theirs, metadata.verify_recovery_key(ours.key_id, theirs.recovery_key)):
            # It stores keys, which are Base64 before they are encrypted.
            encrypted = key.encrypt("m.secret", "from mautrix").serialize()
            assert base64.decode(ours.decrypt("m.secret", encrypted)) == b"from mautrix"

    def test_damage_is_found(self, entropy):
        key, _ = secret_storage.create(entropy)
        encrypted = key.encrypt("one", "secret", entropy)
        for part in encrypted:
            with pytest.raises(BadSecret):
                key.decrypt("one", {name: t for name, t in encrypted.items() if name != part})
        raw = bytearray(base64.decode(encrypted["ciphertext"]))
        raw[0] ^= 1
        with pytest.raises(BadSecret):
            key.decrypt("one", {**encrypted, "ciphertext": base64.encode(bytes(raw))})


class TestAttachments:
    """`EncryptedFile`."""

    # Known to several clients: ciphertext, hash, key, counter block, plaintext.
    VECTORS = (
        (
            "",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAA",
            b"",
        ),
        (
            "5xJZTt5cQicm+9f4",
            "YzF08lARDdOCzJpzuSwsjTNlQc4pHxpdHcXiD/wpK6k",
            "__________________________________________8",
            "//////////8AAAAAAAAAAA",
            b"Hello, World",
        ),
        (
            "zhtFStAeFx0s+9L/sSQO+WQMtldqYEHqTxMduJrCIpnkyer09kxJJuA4K+adQE4w+7jZe/vR9kIcqj9rOhDR8Q",
            "IOq7/dHHB+mfHfxlRY5XMeCWEwTPmlf4cJcgrkf6fVU",
            "__________________________________________8",
            "//////////8AAAAAAAAAAA",
            b"alphanumerically" * 4,
        ),
    )

    def file(self, digest: str, key: str, iv: str) -> dict[str, Any]:
        return {
            "v": "v2",
            "key": {"alg": "A256CTR", "k": key},
            "iv": iv,
            "hashes": {"sha256": digest},
        }

    @pytest.mark.parametrize(("cipher", "digest", "key", "iv", "plain"), VECTORS)
    def test_known_files(self, cipher, digest, key, iv, plain):
        file = self.file(digest, key, iv)
        assert attachments.decrypt(base64.decode(cipher), file) == plain

    def test_in_pieces_as_at_once(self, entropy):
        plain = random.Random(1).randbytes(100_000)
        encryption = attachments.Encryption(entropy)
        pieces = [plain[at : at + 777] for at in range(0, len(plain), 777)]
        cipher = b"".join(encryption.pieces(pieces))
        assert attachments.decrypt(cipher, encryption.file("mxc://x/y")) == plain

    def test_each_file_has_its_own_key_and_a_counter_from_zero(self, entropy):
        files = [attachments.encrypt(b"x", entropy)[1].file("mxc://x/y") for _ in range(2)]
        assert files[0]["key"]["k"] != files[1]["key"]["k"]
        assert all(base64.decode(file["iv"])[8:] == bytes(8) for file in files)

    def test_a_changed_file_is_refused(self, entropy):
        cipher, encryption = attachments.encrypt(b"hello", entropy)
        changed = bytes([cipher[0] ^ 1]) + cipher[1:]
        with pytest.raises(BadFile):
            attachments.decrypt(changed, encryption.file("mxc://x/y"))

    def test_of_something_that_can_be_read_twice_nothing_is_shown_before_it_is_checked(
        self, entropy
    ):
        cipher, encryption = attachments.encrypt(b"hello", entropy)
        decryption = attachments.Decryption(encryption.file("mxc://x/y"))
        assert b"".join(decryption.checked(lambda: [cipher])) == b"hello"
        with pytest.raises(BadFile):
            decryption.checked(lambda: [cipher, b"more"])

    @pytest.mark.parametrize(
        "change",
        [
            {"v": "v1"},
            {"key": {}},
            {"key": {"alg": "A256CTR", "k": "AAAA"}},
            {"iv": "AAAA"},
            {"iv": 5},
            {"hashes": {}},
            {"hashes": {"sha256": "?"}},
        ],
    )
    def test_a_description_that_is_not_usable_is_refused(self, change, entropy):
        _, encryption = attachments.encrypt(b"hello", entropy)
        with pytest.raises(BadFile):
            attachments.Decryption({**encryption.file("mxc://x/y"), **change})

    def test_mautrix_reads_ours_and_we_read_theirs(self, entropy):
        cipher, encryption = attachments.encrypt(b"hello", entropy)
        file = encryption.file("mxc://x/y")
        plain = mautrix_attachments.decrypt_attachment(
            cipher, file["key"]["k"], file["hashes"]["sha256"], file["iv"]
        )
        assert plain == b"hello"
        theirs, description = mautrix_attachments.encrypt_attachment(b"from mautrix")
        assert attachments.decrypt(theirs, description.serialize()) == b"from mautrix"


class TestKeyExport:
    SESSIONS = ({"room_id": "!a:x", "session_id": "s", "session_key": "k"},)

    def test_there_and_back(self, entropy):
        text = key_export.encrypt(list(self.SESSIONS), "pass", entropy, rounds=1_000)
        assert key_export.decrypt(text, "pass") == list(self.SESSIONS)

    def test_nio_reads_ours_and_we_read_theirs(self, entropy, tmp_path):
        ours = tmp_path / "ours"
        ours.write_text(key_export.encrypt(list(self.SESSIONS), "pass", entropy, rounds=1_000))
        assert b'"session_id":"s"' in nio_export.decrypt_and_read(str(ours), "pass").replace(
            b" ", b""
        )
        theirs = tmp_path / "theirs"
        nio_export.encrypt_and_save(b'[{"session_id":"t"}]', str(theirs), "pass", count=1_000)
        assert key_export.decrypt(theirs.read_text(), "pass") == [{"session_id": "t"}]

    def test_a_wrong_passphrase_is_said(self, entropy):
        text = key_export.encrypt([], "pass", entropy, rounds=1_000)
        with pytest.raises(BadSecret):
            key_export.decrypt(text, "word")

    @pytest.mark.parametrize(
        "text", ["", key_export.BEGIN, f"{key_export.BEGIN}\nAA==\n{key_export.END}"]
    )
    def test_what_is_no_export_is_refused(self, text):
        with pytest.raises(BadFile):
            key_export.decrypt(text, "pass")


class TestBackupEncryption:
    """`m.megolm_backup.v1.curve25519-aes-sha2`."""

    SESSION = {"algorithm": "m.megolm.v1.aes-sha2", "session_key": "k"}  # noqa: RUF012

    def test_vodozemac_reads_what_we_write(self, entropy):
        private = vodozemac.PkDecryption()
        public = private.public_key.to_base64()
        data = key_backup.encrypt(public, self.SESSION, entropy)
        message = vodozemac.Message.from_base64(data["ciphertext"], data["mac"], data["ephemeral"])
        assert b'"session_key":"k"' in private.decrypt(message)

    def test_we_read_what_libolm_writes(self):
        public = base64.encode(x25519_public(KEY))
        message = PkEncryption(public).encrypt('{"session_key":"k"}')
        data = {
            "ephemeral": message.ephemeral_key,
            "ciphertext": message.ciphertext,
            "mac": message.mac,
        }
        assert key_backup.decrypt(KEY, data) == {"session_key": "k"}

    @pytest.mark.parametrize("data", [None, {}, {"ephemeral": "?", "ciphertext": "", "mac": ""}])
    def test_damage_is_said(self, data):
        with pytest.raises(BadSecret):
            key_backup.decrypt(KEY, data)

    def test_a_wrong_key_is_said(self, entropy):
        data = key_backup.encrypt(base64.encode(x25519_public(KEY)), self.SESSION, entropy)
        with pytest.raises(BadSecret):
            key_backup.decrypt(bytes(32), data)

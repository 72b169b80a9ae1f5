"""Keys as clients make them: devices, one-time keys, cross-signing. Nothing here encrypts.

phone = KeyMaker.of(alice_user_id, "PHONE")
await alice.post("v3/keys/upload", phone.upload(one_time=5))
"""

from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from typing import Any

from homeserver.events import base64
from homeserver.events.signing import SigningKey, sign_json

Json = dict[str, Any]
ALGORITHMS = ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"]
SIGNED = "signed_curve25519"
_numbers = count(1)


def curve25519() -> str:
    """A public key that looks like one."""
    return base64.encode(sha256(f"curve {next(_numbers)}".encode()).digest())


@dataclass
class KeyMaker:
    """A device of somebody, with its signing key."""

    user_id: str
    device_id: str
    key: SigningKey
    curve: str

    @classmethod
    def of(cls, user_id: str, device_id: str) -> "KeyMaker":
        seed = sha256(f"{user_id} {device_id} {next(_numbers)}".encode()).digest()
        return cls(
            user_id, device_id, SigningKey.from_seed(seed, f"ed25519:{device_id}"), curve25519()
        )

    def signs(self, obj: Json) -> Json:
        return sign_json(obj, self.user_id, self.key)

    def device_keys(self, **more: Any) -> Json:
        return self.signs(
            {
                "user_id": self.user_id,
                "device_id": self.device_id,
                "algorithms": ALGORITHMS,
                "keys": {
                    f"curve25519:{self.device_id}": self.curve,
                    f"ed25519:{self.device_id}": base64.encode(self.key.verify_key.raw),
                },
                **more,
            }
        )

    def one_time_keys(self, *names: str) -> Json:
        return {f"{SIGNED}:{name}": self.signs({"key": curve25519()}) for name in names}

    def fallback_key(self, name: str) -> Json:
        return {f"{SIGNED}:{name}": self.signs({"key": curve25519(), "fallback": True})}

    def upload(self, one_time: int = 0, *, fallback: str | None = None) -> Json:
        """A whole body of an upload."""
        names = [f"K{number:04}" for number in range(one_time)]
        body = {"device_keys": self.device_keys(), "one_time_keys": self.one_time_keys(*names)}
        return body | ({"fallback_keys": self.fallback_key(fallback)} if fallback else {})


@dataclass
class Identity:
    """The cross-signing keys of somebody."""

    user_id: str
    master: SigningKey
    self_signing: SigningKey
    user_signing: SigningKey

    @classmethod
    def of(cls, user_id: str) -> "Identity":
        return cls(user_id, *(_named_by_itself(user_id) for _ in range(3)))

    def upload(self) -> Json:
        """A whole body of an upload, without proof."""
        return {
            "master_key": self.key("master"),
            "self_signing_key": self.key("self_signing"),
            "user_signing_key": self.key("user_signing"),
        }

    def key(self, usage: str) -> Json:
        """A cross-signing key, signed by the master key unless it is that."""
        key: SigningKey = getattr(self, usage)
        obj = {"user_id": self.user_id, "usage": [usage], "keys": {key.key_id: public(key)}}
        return obj if usage == "master" else sign_json(obj, self.user_id, self.master)

    def signs(self, usage: str, obj: Json) -> Json:
        """The object with one signature: of the key for this usage."""
        plain = {key: obj[key] for key in obj if key not in ("signatures", "unsigned")}
        return sign_json(plain, self.user_id, getattr(self, usage))


def public(key: SigningKey) -> str:
    return base64.encode(key.verify_key.raw)


def _named_by_itself(user_id: str) -> SigningKey:
    seed = sha256(f"{user_id} {next(_numbers)}".encode()).digest()
    unnamed = SigningKey.from_seed(seed, "ed25519:x")
    return SigningKey.from_seed(seed, f"ed25519:{public(unnamed)}")

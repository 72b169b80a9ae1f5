"""Keys of devices and users as the server gives them, checked.

Source: C-S API v1.19, "Device keys", "Cross-signing".
"""

from collections.abc import Mapping
from typing import Any

from e2e.client.errors import BadKeys
from e2e.client.records import Device, Identity
from e2e.client.shapes import members, texts
from e2e.client.signatures import ed25519, is_signed


def parse_device(user_id: str, device_id: str, signed: Any) -> Device:
    """Raises BadKeys for an object of another user or device, without both keys, or without a
    valid signature by itself.
    """
    if not isinstance(signed, dict):
        raise BadKeys("device keys must be an object")
    if signed.get("user_id") != user_id or signed.get("device_id") != device_id:
        raise BadKeys(f"keys of {user_id}'s device {device_id} name another device")
    curve25519, own = (_text(signed, "keys", f"{a}:{device_id}") for a in ("curve25519", "ed25519"))
    if not is_signed(signed, by=user_id, key_name=device_id, public=own):
        raise BadKeys(f"keys of {user_id}'s device {device_id} are not signed by itself")
    return Device(
        user_id=user_id,
        device_id=device_id,
        curve25519=curve25519,
        ed25519=own,
        algorithms=tuple(texts(signed.get("algorithms"))),
        signed={name: value for name, value in signed.items() if name != "unsigned"},
        display_name=_display_name(signed),
    )


def parse_identity(
    user_id: str, master: Any, self_signing: Any, user_signing: Any
) -> Identity | None:
    """None without a master key. A subordinate key that the master key has not signed is as if it
    were not there. Raises BadKeys for a master key that is not one of this user.
    """
    if master is None:
        return None
    public = public_key(master, user_id=user_id, usage="master")
    signed = (
        _subordinate(user_id, public, key, usage)
        for key, usage in (
            (self_signing, "self_signing"),
            (user_signing, "user_signing"),
        )
    )
    return Identity(master, *signed)


def public_key(key: Any, *, user_id: str, usage: str) -> str:
    """The one public key in a cross-signing key object. Raises BadKeys."""
    if not isinstance(key, dict) or key.get("user_id") != user_id:
        raise BadKeys(f"a cross-signing key of {user_id} names somebody else")
    if usage not in texts(key.get("usage")):
        raise BadKeys(f"a cross-signing key of {user_id} is not for {usage}")
    keys = list(members(key.get("keys")).items())
    if len(keys) != 1 or keys[0][0] != ed25519(str(keys[0][1])):
        raise BadKeys(f"a cross-signing key of {user_id} must have one key, under its own name")
    return str(keys[0][1])


def master_of(identity: Identity | None) -> str | None:
    return None if identity is None else _only_key(identity.master)


def self_signing_of(identity: Identity | None) -> str | None:
    missing = identity is None or identity.self_signing is None
    return None if missing else _only_key(identity.self_signing)  # type: ignore[union-attr, arg-type]


def user_signing_of(identity: Identity | None) -> str | None:
    missing = identity is None or identity.user_signing is None
    return None if missing else _only_key(identity.user_signing)  # type: ignore[union-attr, arg-type]


def is_cross_signed(device: Device, identity: Identity | None) -> bool:
    """By the self-signing key of its user, which the master key has signed."""
    public = self_signing_of(identity)
    return public is not None and is_signed(
        device.signed, by=device.user_id, key_name=public, public=public
    )


def _only_key(key: Mapping[str, Any]) -> str:
    return str(next(iter(key["keys"].values())))


def _subordinate(user_id: str, master: str, key: Any, usage: str) -> dict[str, Any] | None:
    if key is None:
        return None
    try:
        public_key(key, user_id=user_id, usage=usage)
    except BadKeys:
        return None
    holds = is_signed(key, by=user_id, key_name=master, public=master)
    return dict(key) if holds else None


def _text(obj: Mapping[str, Any], *path: str) -> str:
    value: Any = obj
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(value, str):
        raise BadKeys(f"device keys lack {path[-1]}")
    return value


def _display_name(signed: Mapping[str, Any]) -> str | None:
    unsigned = signed.get("unsigned")
    name = unsigned.get("device_display_name") if isinstance(unsigned, Mapping) else None
    return name if isinstance(name, str) else None

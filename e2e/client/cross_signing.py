"""Our own cross-signing identity: made, kept, used to sign devices and other users.

Source: C-S API v1.19, "Cross-signing".
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from e2e.client.account import OwnDevice
from e2e.client.device_keys import (
    is_cross_signed,
    master_of,
    parse_identity,
    self_signing_of,
    user_signing_of,
)
from e2e.client.device_tracking import DeviceTracking
from e2e.client.errors import BadKeys, BadSecret
from e2e.client.outbox import Outbox
from e2e.client.primitives import KEY_BYTES, Entropy
from e2e.client.records import THE_ONE, CrossSigning, Device, Identity
from e2e.client.requests import UploadCrossSigning
from e2e.client.shapes import members
from e2e.client.signatures import public_half, signed_with, signing_key
from e2e.client.trust import TrustBook
from e2e.client.vault import Vault
from homeserver.errors import InvalidInput
from homeserver.events import base64
from homeserver.events.signing import SigningKey

MASTER = "m.cross_signing.master"
SELF_SIGNING = "m.cross_signing.self_signing"
USER_SIGNING = "m.cross_signing.user_signing"

SECRETS = {MASTER: "master", SELF_SIGNING: "self_signing", USER_SIGNING: "user_signing"}
"""Names of the secrets, and the usages of their keys."""


class OwnIdentity:
    """The private halves, as far as this device has them."""

    def __init__(
        self,
        *,
        vault: Vault,
        entropy: Entropy,
        own: OwnDevice,
        tracking: DeviceTracking,
        trust: TrustBook,
        outbox: Outbox,
    ) -> None:
        self._vault = vault
        self._entropy = entropy
        self._own = own
        self._tracking = tracking
        self._trust = trust
        self._outbox = outbox

    @property
    def secrets(self) -> CrossSigning:
        return self._vault.get(CrossSigning, THE_ONE) or CrossSigning()

    def is_complete(self) -> bool:
        """Whether this device can sign devices and users."""
        secrets = self.secrets
        return None not in (secrets.master, secrets.self_signing, secrets.user_signing)

    def bootstrap(self) -> None:
        """A new identity. It replaces the one that there may be; whoever had verified that one
        will be told. The upload waits in `upload()`.
        """
        master, self_signing, user_signing = (
            base64.encode(self._entropy(KEY_BYTES)) for _ in SECRETS
        )
        secrets = CrossSigning(master, self_signing, user_signing, to_upload=True)
        self._vault.put(THE_ONE, secrets)
        identity = self._public(secrets)
        user_id = self._own.record.user_id
        user = self._tracking.user(user_id)
        public = master_of(identity)
        self._tracking.keep(
            user_id,
            replace(user, identity=identity, pinned_master=public, verified_master=public),
        )

    def upload(self) -> UploadCrossSigning | None:
        """The public halves, as long as the server has not taken them."""
        secrets = self.secrets
        if not secrets.to_upload:
            return None
        identity = self._public(secrets)
        return UploadCrossSigning(
            {
                "master_key": identity.master,
                "self_signing_key": identity.self_signing,
                "user_signing_key": identity.user_signing,
            }
        )

    def uploaded(self) -> None:
        """The server has the identity: this device is signed, and signs the master key."""
        self._vault.put(THE_ONE, replace(self.secrets, to_upload=False))
        record = self._own.record
        self.sign_own_device(record.device_id)
        identity = self._tracking.user(record.user_id).identity
        assert identity is not None
        signed = self._own.sign({k: v for k, v in identity.master.items() if k != "signatures"})
        body = {record.user_id: {str(master_of(identity)): signed}}
        self._outbox.upload_signatures(body)

    def sign_own_device(self, device_id: str) -> None:
        """Raises BadSecret where this device cannot sign, BadKeys for an unknown device."""
        own = self._own.record
        key = self._key("self_signing")
        device = self._device(device_id)
        signed = signed_with(
            {k: v for k, v in device.signed.items() if k != "signatures"}, by=own.user_id, key=key
        )
        self._outbox.upload_signatures({own.user_id: {device_id: signed}})
        self._learn_own(device, signed)

    def sign_user(self, user_id: str, master: str) -> None:
        """The master key that was compared. Raises BadSecret where this device cannot sign,
        BadKeys where the key is not theirs now.
        """
        own = self._own.record
        user = self._tracking.user(user_id)
        if user.identity is None or master_of(user.identity) != master:
            raise BadKeys(f"the identity of {user_id} changed meanwhile")
        bare = {k: v for k, v in user.identity.master.items() if k != "signatures"}
        signed = signed_with(bare, by=own.user_id, key=self._key("user_signing"))
        self._outbox.upload_signatures({user_id: {master: signed}})
        merged = _with_signatures(user.identity.master, signed)
        self._tracking.keep(user_id, replace(user, identity=replace(user.identity, master=merged)))

    def secret(self, name: str) -> str | None:
        """The private half under its name as a secret, Base64."""
        value: str | None = getattr(self.secrets, SECRETS[name])
        return value

    def import_secret(self, name: str, seed: str) -> None:
        """From secret storage or another device of ours. Raises BadSecret where it is not the
        private half of the key that the server tells of.
        """
        usage = SECRETS[name]
        identity = self._tracking.user(self._own.record.user_id).identity
        published = {
            "master": master_of(identity),
            "self_signing": self_signing_of(identity),
            "user_signing": user_signing_of(identity),
        }[usage]
        if public_half(_signing_key(seed)) != published:
            raise BadSecret(f"the {usage} key does not fit the identity that was published")
        known: Any = {usage: seed}
        self._vault.put(THE_ONE, replace(self.secrets, **known))
        if usage == "master":
            self._trust.confirm_identity(self._own.record.user_id, str(published))

    def confirm(self, master: str) -> None:
        """Another device of ours, or a recovery key, showed that this master key is ours."""
        self._trust.confirm_identity(self._own.record.user_id, master)

    def _key(self, usage: str) -> SigningKey:
        """Raises BadSecret where this device does not have it."""
        seed = getattr(self.secrets, usage)
        if seed is None:
            raise BadSecret(f"this device does not have the private {usage} key")
        return _signing_key(seed)

    def _device(self, device_id: str) -> Device:
        own = self._own.record
        if device_id == own.device_id:
            known = self._tracking.device(own.user_id, device_id)
            return known or Device(
                own.user_id, device_id, own.curve25519, own.ed25519, (), self._own.device_keys()
            )
        device = self._tracking.device(own.user_id, device_id)
        if device is None:
            raise BadKeys(f"we have no device {device_id}")
        return device

    def _learn_own(self, device: Device, signed: Mapping[str, Any]) -> None:
        """As the server will tell soon."""
        user = self._tracking.user(device.user_id)
        merged = replace(device, signed=_with_signatures(device.signed, signed))
        merged = replace(merged, cross_signed=is_cross_signed(merged, user.identity))
        if device.device_id in user.devices:
            devices = {**user.devices, device.device_id: merged}
            self._tracking.keep(device.user_id, replace(user, devices=devices))

    def _public(self, secrets: CrossSigning) -> Identity:
        user_id = self._own.record.user_id
        master = _signing_key(str(secrets.master))
        keys = [_public_key(user_id, "master", master)]
        for usage in ("self_signing", "user_signing"):
            key = _public_key(user_id, usage, _signing_key(getattr(secrets, usage)))
            keys.append(signed_with(key, by=user_id, key=master))
        identity = parse_identity(user_id, *keys)
        assert identity is not None
        return identity


def _public_key(user_id: str, usage: str, key: SigningKey) -> dict[str, Any]:
    return {"user_id": user_id, "usage": [usage], "keys": {key.key_id: public_half(key)}}


def _signing_key(seed: str) -> SigningKey:
    """Raises BadSecret."""
    try:
        return signing_key(base64.decode(seed))
    except InvalidInput:
        raise BadSecret("not the private half of a key") from None


def _with_signatures(obj: Mapping[str, Any], signed: Mapping[str, Any]) -> dict[str, Any]:
    """The signatures of both."""
    signatures = dict(members(obj.get("signatures")))
    for user_id, by_key in signed["signatures"].items():
        signatures[user_id] = {**members(signatures.get(user_id)), **by_key}
    return {**obj, "signatures": signatures}

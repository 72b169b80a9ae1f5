"""Who is who: trust in identities and in devices.

Source: C-S API v1.19, "Cross-signing" (when Alice can trust Bob's device), "Key and signature
security", "Recommended client behaviour". Identities that nobody verified are trusted on first
use: the master key that was seen first is pinned, and another one must be acknowledged.
"""

from dataclasses import replace
from enum import StrEnum

from e2e.client.account import OwnDevice
from e2e.client.device_keys import master_of, user_signing_of
from e2e.client.device_tracking import DeviceTracking
from e2e.client.errors import BadKeys
from e2e.client.records import Device, LocalTrust
from e2e.client.signatures import is_signed


class Trust(StrEnum):
    """In a device, the strongest first."""

    VERIFIED = "verified"
    """We verified the device, or its user, whose keys sign it."""
    CROSS_SIGNED = "cross-signed"
    """Its user's keys sign it; we trust these on first use."""
    UNSIGNED = "unsigned"
    """Only the server says that it is of this user."""
    CHANGED = "changed"
    """Signed by an identity that is another than the one that we pinned."""
    BLOCKED = "blocked"
    """The user has said that it gets no keys."""


class TrustBook:
    """Judges from what is known now."""

    def __init__(self, *, own: OwnDevice, tracking: DeviceTracking) -> None:
        self._own = own
        self._tracking = tracking

    def of_device(self, device: Device) -> Trust:
        own = self._own.record
        if (device.user_id, device.ed25519) == (own.user_id, own.ed25519):
            return Trust.VERIFIED
        if device.local is LocalTrust.BLOCKED:
            return Trust.BLOCKED
        if device.local is LocalTrust.VERIFIED:
            return Trust.VERIFIED
        if not device.cross_signed:
            return Trust.UNSIGNED
        if self.has_changed(device.user_id):
            return Trust.CHANGED
        return Trust.VERIFIED if self.is_verified(device.user_id) else Trust.CROSS_SIGNED

    def is_verified(self, user_id: str) -> bool:
        """Whether the master key that the user has now is one that we verified: by this device's
        own doing, or by our user-signing key's signature.
        """
        user = self._tracking.user(user_id)
        master = master_of(user.identity)
        if master is None:
            return False
        return user.verified_master == master or self._is_signed_by_us(user_id)

    def has_changed(self, user_id: str) -> bool:
        """Whether nobody has looked yet at a master key that is not the pinned one."""
        user = self._tracking.user(user_id)
        master = master_of(user.identity)
        return master is not None and master != user.pinned_master and not self.is_verified(user_id)

    def acknowledge(self, user_id: str) -> None:
        """The user saw that the identity changed, and goes on without verifying it."""
        user = self._tracking.user(user_id)
        self._tracking.keep(
            user_id,
            replace(user, pinned_master=master_of(user.identity), verified_master=None),
        )

    def confirm_identity(self, user_id: str, master: str) -> None:
        """The user compared this master key. Raises BadKeys where it is not theirs now."""
        user = self._tracking.user(user_id)
        if master_of(user.identity) != master:
            raise BadKeys(f"the identity of {user_id} changed meanwhile")
        self._tracking.keep(user_id, replace(user, pinned_master=master, verified_master=master))

    def mark_device(self, user_id: str, device_id: str, local: LocalTrust) -> None:
        """What the user says about one device. Raises BadKeys for one that nobody has."""
        user = self._tracking.user(user_id)
        if device_id not in user.devices:
            raise BadKeys(f"{user_id} has no device {device_id}")
        device = replace(user.devices[device_id], local=local)
        self._tracking.keep(user_id, replace(user, devices={**user.devices, device_id: device}))

    def _is_signed_by_us(self, user_id: str) -> bool:
        own_id = self._own.record.user_id
        own = self._tracking.user(own_id)
        own_master, user_signing = master_of(own.identity), user_signing_of(own.identity)
        if user_signing is None or own.verified_master != own_master or user_id == own_id:
            return False
        identity = self._tracking.user(user_id).identity
        assert identity is not None
        return is_signed(identity.master, by=own_id, key_name=user_signing, public=user_signing)

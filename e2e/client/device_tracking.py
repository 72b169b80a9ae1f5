"""Whose devices we know, and whether the list is fresh.

Source: C-S API v1.19, "Tracking the device list for a user". Each report of a change raises the
user's serial; an answer settles only the serials that its request asked about, so a change during
a request is never lost, and of two answers the later question wins.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from e2e.client.device_keys import is_cross_signed, master_of, parse_device, parse_identity
from e2e.client.errors import BadKeys
from e2e.client.notices import DeviceAppeared, DeviceKeysRefused, IdentityChanged, Notice
from e2e.client.records import Device, Identity, User
from e2e.client.requests import QueryKeys
from e2e.client.shapes import members
from e2e.client.vault import Vault

MAX_USERS_OF_A_QUERY = 250

MAX_DEVICES = 1_000
"""Of one user; what a server lists beyond is ignored."""


class DeviceTracking:
    """Users, their devices and their cross-signing keys."""

    def __init__(self, *, vault: Vault) -> None:
        self._vault = vault

    def user(self, user_id: str) -> User:
        return self._vault.get(User, user_id) or User()

    def keep(self, user_id: str, user: User) -> None:
        self._vault.put(user_id, user)

    def device(self, user_id: str, device_id: str) -> Device | None:
        return self.user(user_id).devices.get(device_id)

    def device_with_key(self, user_id: str, curve25519: str) -> Device | None:
        devices = self.user(user_id).devices.values()
        return next((found for found in devices if found.curve25519 == curve25519), None)

    def owner_of(self, curve25519: str) -> Device | None:
        """Anybody's device with that key."""
        for _, user in self._vault.all(User):
            for device in user.devices.values():
                if device.curve25519 == curve25519:
                    return device
        return None

    def recognised(self, device: Device) -> Device:
        """A device that introduced itself, with what we know of it. It is not added to the list:
        that is the server's to tell.
        """
        known = self.device(device.user_id, device.device_id)
        if known is not None and known.ed25519 == device.ed25519:
            return known
        identity = self.user(device.user_id).identity
        return replace(device, cross_signed=is_cross_signed(device, identity))

    def track(self, user_ids: Iterable[str]) -> None:
        """From now on; whoever is new has an outdated list."""
        for user_id in user_ids:
            user = self.user(user_id)
            if not user.tracked:
                self.keep(
                    user_id, replace(user, tracked=True, outdated=True, serial=user.serial + 1)
                )

    def changed(self, user_ids: Iterable[str]) -> None:
        """As `device_lists.changed` or `/keys/changes` said; who is not tracked does not matter."""
        for user_id in user_ids:
            user = self.user(user_id)
            if user.tracked:
                self.keep(user_id, replace(user, outdated=True, serial=user.serial + 1))

    def left(self, user_ids: Iterable[str]) -> None:
        """No encrypted room is shared with them any more."""
        for user_id in user_ids:
            user = self.user(user_id)
            if user.tracked:
                self.keep(user_id, replace(user, tracked=False, outdated=True))

    def query(self, user_ids: Collection[str] | None = None) -> QueryKeys | None:
        """Asks about outdated lists: of these users, or of all."""
        among = (user_id for user_id, _ in self._vault.all(User)) if user_ids is None else user_ids
        serials: dict[str, int] = {}
        for user_id in among:
            user = self.user(user_id)
            if user.tracked and user.outdated:
                serials[user_id] = user.serial
        chosen = dict(list(serials.items())[:MAX_USERS_OF_A_QUERY])
        return QueryKeys(chosen) if chosen else None

    def queried(self, request: QueryKeys, answer: dict[str, Any]) -> list[Notice]:
        """Takes an answer of `/keys/query`. Users of servers that failed stay outdated."""
        notices: list[Notice] = []
        failed = members(answer.get("failures")).keys()
        for user_id, serial in request.serials.items():
            if user_id.partition(":")[2] in failed or self.user(user_id).serial != serial:
                continue
            notices += self._learn(user_id, answer)
        return notices

    def _learn(self, user_id: str, answer: dict[str, Any]) -> list[Notice]:
        before = self.user(user_id)
        notices: list[Notice] = []
        # No server can take an identity away; one that is left out is as it was.
        identity = self._identity(user_id, answer, notices) or before.identity
        devices = self._devices(user_id, before, identity, answer, notices)
        master = master_of(identity)
        is_other = master not in (None, before.pinned_master, master_of(before.identity))
        if before.pinned_master is not None and is_other:
            notices.append(IdentityChanged(user_id, before.verified_master is not None))
        after = replace(
            before,
            outdated=False,
            identity=identity,
            devices=devices,
            pinned_master=before.pinned_master or master,
        )
        self.keep(user_id, after)
        return notices

    def _identity(
        self, user_id: str, answer: dict[str, Any], notices: list[Notice]
    ) -> Identity | None:
        keys = (
            _of(answer, name, user_id)
            for name in ("master_keys", "self_signing_keys", "user_signing_keys")
        )
        try:
            return parse_identity(user_id, *keys)
        except BadKeys as error:
            notices.append(DeviceKeysRefused(user_id, None, str(error)))
            return None

    def _devices(
        self,
        user_id: str,
        before: User,
        identity: Identity | None,
        answer: dict[str, Any],
        notices: list[Notice],
    ) -> dict[str, Device]:
        listed = members(_of(answer, "device_keys", user_id))
        devices: dict[str, Device] = {}
        for device_id, signed in list(listed.items())[:MAX_DEVICES]:
            known = before.devices.get(device_id)
            try:
                device = _checked(user_id, device_id, signed, known, identity)
            except BadKeys as error:
                notices.append(DeviceKeysRefused(user_id, device_id, str(error)))
                if known is not None:
                    devices[device_id] = known
                continue
            devices[device_id] = device
            if known is None:
                notices.append(DeviceAppeared(user_id, device_id))
        return devices


def _checked(
    user_id: str, device_id: str, signed: Any, known: Device | None, identity: Identity | None
) -> Device:
    """Raises BadKeys. The keys of a device never change; one named like a cross-signing key could
    be passed off as it ("Key and signature security").
    """
    device = parse_device(user_id, device_id, signed)
    if known is not None and known.ed25519 != device.ed25519:
        raise BadKeys(f"the keys of {user_id}'s device {device_id} changed")
    if device_id == master_of(identity):
        raise BadKeys(f"{user_id} has a device that is named like their master key")
    local = device.local if known is None else known.local
    return replace(device, cross_signed=is_cross_signed(device, identity), local=local)


def _of(answer: dict[str, Any], section: str, user_id: str) -> Any:
    return members(answer.get(section)).get(user_id)

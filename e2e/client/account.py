"""Our device's account: its identity keys, and the keys with which others begin sessions with it.

Source: C-S API v1.19, "Device keys", "One-time and fallback keys", "Uploading keys".
"""

from dataclasses import replace
from typing import Any

from e2e.client import libolm as olm
from e2e.client.records import THE_ONE, Account
from e2e.client.requests import UploadKeys
from e2e.client.signatures import ed25519, with_signature
from e2e.client.vault import Vault

OLM = "m.olm.v1.curve25519-aes-sha2"
MEGOLM = "m.megolm.v1.aes-sha2"
ONE_TIME_KEY = "signed_curve25519"

OLD_FALLBACK_MS = 3_600_000
"""How long the fallback key before the current one is kept: the spec's hour."""

FALLBACK_LIFETIME_MS = 7 * 24 * 3_600_000
"""A fallback key is renewed after a week even if nobody used it."""

_NO_KEY = ""


def create(vault: Vault, *, user_id: str, device_id: str) -> Account:
    """A new device: its private keys exist from here on, nowhere else."""
    account = olm.Account()
    keys = account.identity_keys
    record = Account(
        user_id=user_id,
        device_id=device_id,
        curve25519=keys["curve25519"],
        ed25519=keys["ed25519"],
        pickle=pickled(account),
    )
    vault.put(THE_ONE, record)
    return record


def pickled(thing: Any) -> str:
    """Of any libolm object. The store encrypts records as a whole, with their other secrets."""
    raw: bytes = thing.pickle(_NO_KEY)
    return raw.decode()


def unpickled(kind: Any, pickle: str) -> Any:
    return kind.from_pickle(pickle.encode(), _NO_KEY)


class OwnDevice:
    """The account of this machine."""

    def __init__(self, *, vault: Vault) -> None:
        self._vault = vault

    @property
    def record(self) -> Account:
        found = self._vault.get(Account, THE_ONE)
        assert found is not None
        return found

    def open(self) -> olm.Account:
        """libolm's object; changes count when they are kept."""
        found: olm.Account = unpickled(olm.Account, self.record.pickle)
        return found

    def keep(self, account: olm.Account, **changes: Any) -> None:
        self._vault.put(THE_ONE, replace(self.record, pickle=pickled(account), **changes))

    def sign(self, obj: dict[str, Any]) -> dict[str, Any]:
        """The object with this device's signature."""
        record, account = self.record, self.open()
        return with_signature(
            obj, by=record.user_id, key_id=ed25519(record.device_id), sign=account.sign
        )

    def device_keys(self) -> dict[str, Any]:
        """The signed object that others see."""
        record = self.record
        return self.sign(
            {
                "user_id": record.user_id,
                "device_id": record.device_id,
                "algorithms": [OLM, MEGOLM],
                "keys": {
                    f"curve25519:{record.device_id}": record.curve25519,
                    f"ed25519:{record.device_id}": record.ed25519,
                },
            }
        )

    def make_keys(self, *, now_ms: int) -> None:
        """Generates what the server lacks. Keys that it was not yet given stay the same, so an
        upload whose answer was lost is repeated, not replaced.
        """
        record, account = self.record, self.open()
        if record.old_fallback_kept and _is_past(
            record.fallback_uploaded_ms, OLD_FALLBACK_MS, now_ms
        ):
            account.forget_old_fallback_key()  # type: ignore[no-untyped-call]
            record = replace(record, old_fallback_kept=False)
        lacking = account.max_one_time_keys // 2 - (record.on_server or 0)
        lacking -= len(account.one_time_keys["curve25519"])
        if lacking > 0 and (record.on_server is not None or not record.device_keys_uploaded):
            account.generate_one_time_keys(lacking)
        if _wants_fallback(record, now_ms) and not account.fallback_key["curve25519"]:
            account.generate_fallback_key()
        self._vault.put(THE_ONE, replace(record, pickle=pickled(account)))

    def upload(self) -> UploadKeys | None:
        """What the server was not given yet."""
        record, account = self.record, self.open()
        body: dict[str, Any] = {}
        if not record.device_keys_uploaded:
            body["device_keys"] = self.device_keys()
        one_time = account.one_time_keys["curve25519"]
        if one_time:
            body["one_time_keys"] = self._signed_keys(one_time, {})
        fallback = account.fallback_key["curve25519"]
        if fallback:
            body["fallback_keys"] = self._signed_keys(fallback, {"fallback": True})
        return UploadKeys(body) if body else None

    def uploaded(self, request: UploadKeys, counts: dict[str, int], *, now_ms: int) -> None:
        """The server has what the request contained."""
        record, account = self.record, self.open()
        account.mark_keys_as_published()
        changes: dict[str, Any] = {
            "device_keys_uploaded": True,
            "on_server": counts.get(ONE_TIME_KEY, 0),
        }
        if "fallback_keys" in request.body:
            changes["fallback_wanted"] = False
            changes["old_fallback_kept"] = record.fallback_uploaded_ms is not None
            changes["fallback_uploaded_ms"] = now_ms
        self.keep(account, **changes)

    def counted(self, counts: dict[str, int] | None, unused_fallbacks: list[str] | None) -> None:
        """What a sync said about keys on the server.
        Source: "Extensions to /sync": counts that are zero may be left out; fallback keys that
        are not listed were used.
        """
        record = self.record
        if counts is not None:
            record = replace(record, on_server=counts.get(ONE_TIME_KEY, 0))
        if unused_fallbacks is not None and record.fallback_uploaded_ms is not None:
            record = replace(record, fallback_wanted=ONE_TIME_KEY not in unused_fallbacks)
        if record != self.record:
            self._vault.put(THE_ONE, record)

    def _signed_keys(self, keys: dict[str, str], extra: dict[str, Any]) -> dict[str, Any]:
        return {
            f"{ONE_TIME_KEY}:{key_id}": self.sign({"key": key, **extra})
            for key_id, key in keys.items()
        }


def _wants_fallback(record: Account, now_ms: int) -> bool:
    return record.fallback_wanted or _is_past(
        record.fallback_uploaded_ms, FALLBACK_LIFETIME_MS, now_ms
    )


def _is_past(since_ms: int | None, lifetime_ms: int, now_ms: int) -> bool:
    return since_ms is not None and now_ms - since_ms >= lifetime_ms

"""What follows from keys that a user has compared.

Source: C-S API v1.19, "Short Authentication String (SAS) verification" step 17, "Cross-signing".
"""

from e2e.client.account import OwnDevice
from e2e.client.cross_signing import SECRETS, OwnIdentity
from e2e.client.device_keys import master_of
from e2e.client.device_tracking import DeviceTracking
from e2e.client.key_backup import SECRET as BACKUP_SECRET
from e2e.client.key_requests import KeyRequests
from e2e.client.records import LocalTrust
from e2e.client.secret_sharing import SecretSharing
from e2e.client.signatures import ed25519
from e2e.client.trust import TrustBook
from e2e.client.verification.flow import Flow


class Outcome:
    """Keys to show, keys to expect, and what trust follows."""

    def __init__(
        self,
        *,
        own: OwnDevice,
        tracking: DeviceTracking,
        trust: TrustBook,
        identity: OwnIdentity,
        secrets: SecretSharing,
        requests: KeyRequests,
    ) -> None:
        self._own = own
        self._tracking = tracking
        self._trust = trust
        self._identity = identity
        self._secrets = secrets
        self._requests = requests

    def own_keys(self) -> dict[str, str]:
        """Our device's key, and our master key if we are sure that it is ours."""
        own = self._own.record
        keys = {ed25519(own.device_id): own.ed25519}
        master = self.own_master()
        return keys if master is None else {**keys, ed25519(master): master}

    def own_master(self) -> str | None:
        """The one that we are sure of."""
        user_id = self._own.record.user_id
        if not self._trust.is_verified(user_id):
            return None
        return master_of(self._tracking.user(user_id).identity)

    def keys_of(self, user_id: str, device_id: str) -> dict[str, str]:
        """Those of the other side as the server tells them."""
        user = self._tracking.user(user_id)
        device, master = user.devices.get(device_id), master_of(user.identity)
        keys = {} if device is None else {ed25519(device_id): device.ed25519}
        return keys if master is None else {**keys, ed25519(master): master}

    def verified(self, flow: Flow, proven: frozenset[str]) -> None:
        """proven: IDs of the keys that the other side has shown to be theirs."""
        keys = {key_id: flow.their_keys[key_id] for key_id in proven}
        master = master_of(self._tracking.user(flow.other_user).identity)
        confirms_master = master is not None and keys.get(ed25519(master)) == master
        is_own = flow.other_user == self._own.record.user_id
        if confirms_master and master is not None:
            self._trust.confirm_identity(flow.other_user, master)
        if is_own:
            self._verified_own(flow, proven)
        elif confirms_master and master is not None:
            self._sign_user(flow.other_user, master)
        elif self._shown_device(flow, proven):
            self._mark(flow)

    def ask_for_missing(self, flow: Flow, *, now_ms: int) -> None:
        """Another device of ours may have the secrets and room keys that this one lacks. Not before
        it is done with the verification: there are clients that answer only then, or never.
        """
        if flow.other_user != self._own.record.user_id:
            return
        for name in (*SECRETS, BACKUP_SECRET):
            if name == BACKUP_SECRET or self._identity.secret(name) is None:
                self._secrets.ask(name, now_ms=now_ms)
        self._requests.repeat()

    def _verified_own(self, flow: Flow, proven: frozenset[str]) -> None:
        """The other device is ours: signed by our identity where we can."""
        if self._shown_device(flow, proven):
            can_sign = self._identity.secrets.self_signing is not None
            if can_sign and self.own_master() is not None:
                self._identity.sign_own_device(str(flow.other_device))
            else:
                self._mark(flow)

    def _sign_user(self, user_id: str, master: str) -> None:
        if self._identity.secrets.user_signing is not None and self.own_master() is not None:
            self._identity.sign_user(user_id, master)

    def _shown_device(self, flow: Flow, proven: frozenset[str]) -> bool:
        return flow.other_device is not None and ed25519(flow.other_device) in proven

    def _mark(self, flow: Flow) -> None:
        assert flow.other_device is not None
        self._trust.mark_device(flow.other_user, flow.other_device, LocalTrust.VERIFIED)

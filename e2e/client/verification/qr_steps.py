"""The steps of `m.reciprocate.v1`: one side shows a QR code, the other one scans it.

Source: C-S API v1.19, "QR codes".
"""

from dataclasses import replace
from typing import Any

from e2e.client.account import OwnDevice
from e2e.client.device_keys import master_of
from e2e.client.device_tracking import DeviceTracking
from e2e.client.primitives import Entropy, same
from e2e.client.signatures import ed25519
from e2e.client.verification import messages, qr
from e2e.client.verification.flow import RECIPROCATE, Flow, State
from e2e.client.verification.messages import Abort, Messages
from e2e.client.verification.outcome import Outcome
from homeserver.events import base64


class QrSteps:
    def __init__(
        self,
        *,
        entropy: Entropy,
        own: OwnDevice,
        tracking: DeviceTracking,
        out: Messages,
        outcome: Outcome,
    ) -> None:
        self._entropy = entropy
        self._own = own
        self._tracking = tracking
        self._out = out
        self._outcome = outcome

    def show(self, flow: Flow) -> tuple[Flow, qr.Code]:
        """The code for the other side to scan. Raises Abort where keys are missing for it."""
        if flow.state is not State.READY or flow.other_device is None:
            raise Abort(messages.UNEXPECTED)
        known = self._outcome.keys_of(flow.other_user, flow.other_device)
        secret = flow.secret or base64.encode(self._entropy(qr.SECRET_BYTES))
        mode, first, second = self._keys(flow, known)
        code = qr.Code(mode, flow.flow_id, first, second, base64.decode(secret))
        return replace(flow, secret=secret, their_keys=known), code

    def scan(self, flow: Flow, code: qr.Code) -> Flow:
        """The other side's code. What it says about us and about them must be as we know it. They
        are verified then; we are when their user has looked at our device.
        """
        if flow.state is not State.READY or flow.other_device is None:
            raise Abort(messages.UNEXPECTED)
        known = self._outcome.keys_of(flow.other_user, flow.other_device)
        proven = self._checked(flow, code, known)
        content = {
            "from_device": self._own.record.device_id,
            "method": RECIPROCATE,
            "secret": base64.encode(code.secret),
        }
        self._out.send(flow, messages.START, content)
        flow = replace(flow, their_keys=known)
        self._outcome.verified(flow, frozenset([ed25519(_name(proven, known))]))
        return replace(flow, state=State.CONFIRMED)

    def started(self, flow: Flow, content: dict[str, Any]) -> Flow:
        """They say that they scanned ours: now our user looks at their screen."""
        secret = content.get("secret")
        if flow.secret is None or flow.state is not State.READY or not isinstance(secret, str):
            raise Abort(messages.UNEXPECTED)
        if not same(secret.rstrip("=").encode(), flow.secret.encode()):
            raise Abort(messages.KEY_MISMATCH)
        return replace(flow, state=State.STARTED)

    def confirm(self, flow: Flow, *, now_ms: int) -> Flow:
        """Our user saw that the other device is content: what our code said about it holds."""
        if flow.secret is None or flow.state is not State.STARTED:
            raise Abort(messages.UNEXPECTED)
        _, _, shown = self._keys(flow, flow.their_keys)
        name = _name(shown, flow.their_keys)
        self._outcome.verified(flow, frozenset([ed25519(name)]))
        self._out.send(flow, messages.DONE, {})
        self._outcome.ask_for_missing(flow, now_ms=now_ms)
        return replace(flow, state=State.DONE)

    def done(self, flow: Flow, *, now_ms: int) -> Flow:
        """Their user has confirmed that we scanned. Not before: a client that waits for its user
        would not know what to do with our message.
        """
        self._out.send(flow, messages.DONE, {})
        self._outcome.ask_for_missing(flow, now_ms=now_ms)
        return replace(flow, state=State.DONE)

    def _keys(self, flow: Flow, known: dict[str, str]) -> tuple[qr.Mode, str, str]:
        """Mode, our key and theirs. Without a master key that we trust, only another device of
        ours can be shown a code.
        """
        own = self._own.record
        device_key = known.get(ed25519(str(flow.other_device)))
        their_master = master_of(self._tracking.user(flow.other_user).identity)
        our_master = self._outcome.own_master()
        if flow.other_user != own.user_id:
            mode, first, second = qr.Mode.ANOTHER_USER, our_master, their_master
        elif our_master is not None:
            mode, first, second = qr.Mode.SELF_TRUSTING, our_master, device_key
        else:
            mode, first, second = qr.Mode.SELF_NOT_TRUSTING, own.ed25519, their_master
        if first is None or second is None:
            raise Abort(messages.KEY_MISMATCH)
        return mode, first, second

    def _checked(self, flow: Flow, code: qr.Code, known: dict[str, str]) -> str:
        """The key of theirs that the code proves to be the one that we know."""
        own = self._own.record
        device_key = known.get(ed25519(str(flow.other_device)))
        their_master = master_of(self._tracking.user(flow.other_user).identity)
        own_master = master_of(self._tracking.user(own.user_id).identity)
        is_own = flow.other_user == own.user_id
        expected = {
            qr.Mode.ANOTHER_USER: (not is_own, their_master, self._outcome.own_master()),
            qr.Mode.SELF_TRUSTING: (is_own, own_master, own.ed25519),
            qr.Mode.SELF_NOT_TRUSTING: (is_own, device_key, self._outcome.own_master()),
        }
        fits, first, second = expected[code.mode]
        if code.flow_id != flow.flow_id or not fits or first is None:
            raise Abort(messages.KEY_MISMATCH)
        if (code.first_key, code.second_key) != (first, second):
            raise Abort(messages.KEY_MISMATCH)
        return first


def _name(key: str, known: dict[str, str]) -> str:
    """Under which name the key is known: a device's ID, or the key itself."""
    for key_id, value in known.items():
        if value == key:
            return key_id.removeprefix("ed25519:")
    raise Abort(messages.KEY_MISMATCH)

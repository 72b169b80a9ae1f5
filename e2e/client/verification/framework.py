"""Verifications: requests, readiness, cancelling; each message finds its flow here.

Source: C-S API v1.19, "Key verification framework", "Error and exception handling".
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from e2e.client.account import OwnDevice
from e2e.client.cross_signing import OwnIdentity
from e2e.client.device_tracking import DeviceTracking
from e2e.client.errors import VerificationImpossible
from e2e.client.key_requests import KeyRequests
from e2e.client.notices import Notice, VerificationChanged
from e2e.client.outbox import Outbox
from e2e.client.primitives import Entropy, random_id
from e2e.client.requests import SendRoomEvent
from e2e.client.secret_sharing import SecretSharing
from e2e.client.trust import TrustBook
from e2e.client.vault import Vault
from e2e.client.verification import messages, qr
from e2e.client.verification.flow import (
    ALL_METHODS,
    RECIPROCATE,
    SAS,
    Flow,
    State,
    common_methods,
)
from e2e.client.verification.messages import PREFIX, Abort, Messages
from e2e.client.verification.outcome import Outcome
from e2e.client.verification.qr_steps import QrSteps
from e2e.client.verification.sas import ShortStrings
from e2e.client.verification.sas_steps import SasSteps

LIFETIME_MS = 600_000
MAX_AHEAD_MS = 300_000
"""Source: "m.key.verification.request", `timestamp`."""

MAX_FLOWS = 50
"""Strangers begin them; beyond, new ones are not looked at."""


class Verifications:
    """All flows of this device."""

    def __init__(
        self,
        *,
        vault: Vault,
        entropy: Entropy,
        own: OwnDevice,
        tracking: DeviceTracking,
        trust: TrustBook,
        identity: OwnIdentity,
        secrets: SecretSharing,
        requests: KeyRequests,
        outbox: Outbox,
    ) -> None:
        self._vault = vault
        self._entropy = entropy
        self._own = own
        self._tracking = tracking
        self._outbox = outbox
        self._out = Messages(own=own, outbox=outbox)
        outcome = Outcome(
            own=own,
            tracking=tracking,
            trust=trust,
            identity=identity,
            secrets=secrets,
            requests=requests,
        )
        self._sas = SasSteps(entropy=entropy, own=own, out=self._out, outcome=outcome)
        self._qr = QrSteps(
            entropy=entropy, own=own, tracking=tracking, out=self._out, outcome=outcome
        )

    @property
    def _user_id(self) -> str:
        return self._own.record.user_id

    # What the user does

    def get(self, user_id: str, flow_id: str) -> Flow:
        """Raises VerificationImpossible."""
        flow = self._vault.get(Flow, f"{user_id}|{flow_id}")
        if flow is None:
            raise VerificationImpossible("there is no such verification")
        return flow

    def open_flows(self) -> list[Flow]:
        return [flow for _, flow in self._vault.all(Flow) if not flow.is_over]

    def request(self, user_id: str, *, now_ms: int) -> Flow:
        """Asks all devices of a user (of ourselves: the other ones)."""
        own = self._own.record
        devices = set(self._tracking.user(user_id).devices)
        if user_id == own.user_id:
            devices.discard(own.device_id)
        if not devices:
            raise VerificationImpossible(f"{user_id} has no device that could answer")
        flow = self._new(user_id, random_id(self._entropy), now_ms, asked=tuple(sorted(devices)))
        content = {**self._introduction(ALL_METHODS), "timestamp": now_ms}
        self._out.ask_devices(flow, content)
        return self._keep(flow)

    def request_in_room(self, room_id: str, user_id: str) -> None:
        """The flow exists when the event is sent, under its ID."""
        content = {
            "msgtype": messages.REQUEST,
            "body": "Verification is requested, which your client does not support.",
            "to": user_id,
            **self._introduction(ALL_METHODS),
        }
        self._outbox.send_to_room(room_id, "m.room.message", content)

    def accept(self, flow: Flow) -> Flow:
        """Our user wants to."""
        if flow.state is not State.REQUESTED or flow.we_asked:
            raise VerificationImpossible("there is nothing to accept")
        self._out.send(flow, messages.READY, self._introduction(flow.methods))
        return self._keep(replace(flow, state=State.READY))

    def start_sas(self, flow: Flow) -> Flow:
        if flow.state is not State.READY or SAS not in flow.methods:
            raise VerificationImpossible("the other side is not ready for this")
        return self._user_step(flow, self._sas.start)

    def start_at_once(self, user_id: str, device_id: str, *, now_ms: int) -> Flow:
        """SAS with one device, which is not asked before: deprecated, but there are clients that
        know no requests.
        """
        if device_id not in self._tracking.user(user_id).devices:
            raise VerificationImpossible(f"{user_id} has no device {device_id}")
        flow = self._new(user_id, random_id(self._entropy), now_ms, device_id=device_id)
        flow = replace(flow, state=State.READY, methods=(SAS,), has_request=False)
        return self.start_sas(flow)

    def short_strings(self, flow: Flow) -> ShortStrings:
        """What both users compare."""
        if flow.sas is None or flow.state not in (State.COMPARING, State.CONFIRMED):
            raise VerificationImpossible("there is nothing to compare yet")
        return self._sas.strings(flow)

    def show_qr(self, flow: Flow) -> bytes:
        """The bytes of the code."""
        try:
            flow, code = self._qr.show(flow)
        except Abort as abort:
            raise VerificationImpossible(str(abort)) from None
        self._keep(flow)
        return code.encode()

    def scan_qr(self, flow: Flow, raw: bytes) -> Flow:
        """Cancels where the code does not fit. Raises BadKeys for what is no code."""
        code = qr.decode(raw)
        return self._user_step(flow, lambda f: self._qr.scan(f, code))

    def confirm(self, flow: Flow, *, now_ms: int) -> Flow:
        """The strings are the same; or, after a QR code, the other device says that all is well."""
        steps = self._qr if flow.sas is None else self._sas
        return self._user_step(flow, lambda f: steps.confirm(f, now_ms=now_ms))

    def reject(self, flow: Flow) -> Flow:
        """The strings differ."""
        return self._cancelled(flow, messages.MISMATCHED_SAS)

    def cancel(self, flow: Flow) -> Flow:
        return self._cancelled(flow, messages.USER)

    # What comes in

    def to_device(
        self, sender: str, event_type: str, content: dict[str, Any], *, now_ms: int
    ) -> list[Notice]:
        """A message between devices."""
        flow_id = content.get("transaction_id")
        if not isinstance(flow_id, str):
            return []
        if event_type == messages.REQUEST:
            return self._requested(sender, flow_id, None, content, content.get("timestamp"), now_ms)
        flow = self._vault.get(Flow, f"{sender}|{flow_id}")
        if flow is None and event_type == messages.START:
            flow = self._unrequested(sender, flow_id, content, now_ms)
        if flow is None:
            self._refuse_unknown(sender, flow_id, event_type, content)
            return []
        return self._message(flow, event_type, content, now_ms)

    def room_event(self, room_id: str, event: dict[str, Any], *, now_ms: int) -> list[Notice]:
        """A (decrypted) event of a room: type, content, sender, event_id, origin_server_ts."""
        sender, content = str(event.get("sender")), event.get("content")
        if not isinstance(content, dict):
            return []
        if content.get("msgtype") == messages.REQUEST and content.get("to") == self._user_id:
            flow_id, sent_ms = str(event.get("event_id")), event.get("origin_server_ts")
            return self._requested(sender, flow_id, room_id, content, sent_ms, now_ms)
        if not str(event.get("type")).startswith(PREFIX):
            return []
        return self._room_message(room_id, sender, event, now_ms)

    def _room_message(
        self, room_id: str, sender: str, event: dict[str, Any], now_ms: int
    ) -> list[Notice]:
        content = event["content"]
        relation = content.get("m.relates_to")
        flow_id = str(relation.get("event_id")) if isinstance(relation, dict) else ""
        if sender == self._user_id:
            return self._own_message(flow_id, event)
        flow = self._vault.get(Flow, f"{sender}|{flow_id}")
        if flow is None or flow.room_id != room_id:
            return []
        return self._message(flow, str(event["type"]), content, now_ms)

    def room_request_sent(
        self, request: SendRoomEvent, event_id: str, *, now_ms: int
    ) -> list[Notice]:
        """Our request has its ID."""
        if request.content.get("msgtype") != messages.REQUEST:
            return []
        user_id = str(request.content["to"])
        flow = self._new(user_id, event_id, now_ms, room_id=request.room_id)
        return [self._noted(self._keep(flow))]

    def expire(self, *, now_ms: int) -> None:
        """Flows that took too long are cancelled; those that are over are forgotten."""
        for name, flow in list(self._vault.all(Flow)):
            if now_ms - flow.began_ms < LIFETIME_MS:
                continue
            if not flow.is_over:
                self._out.cancel(flow, messages.TIMEOUT)
            self._vault.delete(Flow, name)

    # Within

    def _requested(
        self,
        sender: str,
        flow_id: str,
        room_id: str | None,
        content: dict[str, Any],
        sent_ms: Any,
        now_ms: int,
    ) -> list[Notice]:
        device_id, offered = content.get("from_device"), content.get("methods")
        is_timely = isinstance(sent_ms, int) and -LIFETIME_MS < sent_ms - now_ms < MAX_AHEAD_MS
        if not is_timely or not isinstance(device_id, str) or not isinstance(offered, list):
            return []
        known = self._vault.get(Flow, f"{sender}|{flow_id}")
        if known is not None or len(list(self._vault.all(Flow))) >= MAX_FLOWS:
            return []
        self._tracking.track([sender])
        flow = self._new(
            sender, flow_id, now_ms, room_id=room_id, device_id=device_id, we_asked=False
        )
        flow = replace(flow, methods=common_methods(offered))
        return [self._noted(self._keep(flow))]

    def _unrequested(
        self, sender: str, flow_id: str, content: dict[str, Any], now_ms: int
    ) -> Flow | None:
        """A start without a request: deprecated, but clients should handle it."""
        device_id = content.get("from_device")
        if not isinstance(device_id, str) or len(list(self._vault.all(Flow))) >= MAX_FLOWS:
            return None
        flow = self._new(sender, flow_id, now_ms, device_id=device_id, we_asked=False)
        return replace(flow, state=State.READY, methods=(SAS,), has_request=False)

    def _message(
        self, flow: Flow, event_type: str, content: dict[str, Any], now_ms: int
    ) -> list[Notice]:
        """One that belongs to a flow. After its end nothing is answered, so errors cannot loop."""
        if flow.is_over:
            return []
        try:
            step = self._steps(content, now_ms).get(event_type, _unexpected)
            after = step(flow)
        except Abort as abort:
            after = self._cancelled(flow, abort.code)
        return [self._noted(self._keep(after))] if after != flow else []

    def _steps(self, content: dict[str, Any], now_ms: int) -> dict[str, Callable[[Flow], Flow]]:
        return {
            messages.READY: lambda flow: self._ready(flow, content),
            messages.START: lambda flow: self._started(flow, content),
            messages.ACCEPT: lambda flow: self._sas.accepted(flow, content),
            messages.KEY: lambda flow: self._sas.key(flow, content),
            messages.MAC: lambda flow: self._sas.macs(flow, content, now_ms=now_ms),
            messages.CANCEL: lambda flow: self._they_cancelled(flow, content),
            messages.DONE: lambda flow: self._they_are_done(flow, now_ms),
        }

    def _ready(self, flow: Flow, content: dict[str, Any]) -> Flow:
        device_id, offered = content.get("from_device"), content.get("methods")
        if flow.state is not State.REQUESTED or not flow.we_asked:
            raise Abort(messages.UNEXPECTED)
        if not isinstance(device_id, str) or not isinstance(offered, list):
            raise Abort(messages.INVALID)
        others = [asked for asked in flow.asked if asked != device_id]
        if others:
            self._out.tell_devices(flow, others, messages.ACCEPTED)
        return replace(
            flow,
            state=State.READY,
            other_device=device_id,
            methods=common_methods(offered),
            asked=(),
        )

    def _started(self, flow: Flow, content: dict[str, Any]) -> Flow:
        if content.get("from_device") != flow.other_device:
            raise Abort(messages.UNEXPECTED)
        method = content.get("method")
        if flow.sas is not None and flow.state is State.STARTED:
            return self._both_started(flow, content)
        if flow.state is not State.READY:
            raise Abort(messages.UNEXPECTED)
        if method == SAS:
            return self._sas.started(flow, content)
        if method == RECIPROCATE:
            return self._qr.started(flow, content)
        raise Abort(messages.UNKNOWN_METHOD)

    def _both_started(self, flow: Flow, content: dict[str, Any]) -> Flow:
        """Of two starts with one method, the one of the larger user ID (for one user: device ID)
        is as if it were not there.
        """
        assert flow.sas is not None
        if content.get("method") != SAS or not flow.sas.we_started:
            raise Abort(messages.UNEXPECTED)
        own = self._own.record
        ours, theirs = (own.user_id, own.device_id), (flow.other_user, str(flow.other_device))
        if ours < theirs:
            return flow
        return self._sas.started(replace(flow, sas=None, state=State.READY), content)

    def _they_are_done(self, flow: Flow, now_ms: int) -> Flow:
        """Which we wait for only when we have scanned their code."""
        we_scanned = flow.state is State.CONFIRMED and flow.sas is None
        return self._qr.done(flow, now_ms=now_ms) if we_scanned else flow

    def _they_cancelled(self, flow: Flow, content: dict[str, Any]) -> Flow:
        code, reason = str(content.get("code")), str(content.get("reason"))
        if flow.other_device is None and flow.asked:
            self._out.tell_devices(flow, flow.asked, messages.USER)
        return replace(flow, state=State.CANCELLED, code=code, reason=reason)

    def _own_message(self, flow_id: str, event: dict[str, Any]) -> list[Notice]:
        """Another device of ours took the request that everybody in the room saw."""
        content = event["content"]
        device_id = content.get("from_device")
        for flow in self.open_flows():
            is_asked = flow.flow_id == flow_id and flow.state is State.REQUESTED
            by_another = device_id not in (None, self._own.record.device_id)
            if is_asked and not flow.we_asked and by_another:
                over = replace(flow, state=State.CANCELLED, code=messages.ACCEPTED)
                return [self._noted(self._keep(over))]
        return []

    def _refuse_unknown(
        self, sender: str, flow_id: str, event_type: str, content: dict[str, Any]
    ) -> None:
        device_id = content.get("from_device")
        quiet = (messages.CANCEL, messages.START, messages.DONE)
        if event_type not in quiet and isinstance(device_id, str):
            flow = self._new(sender, flow_id, 0, device_id=device_id)
            self._out.cancel(flow, messages.UNKNOWN_TRANSACTION)

    def _user_step(self, flow: Flow, step: Callable[[Flow], Flow]) -> Flow:
        """A step of our user's; what is impossible now cancels nothing."""
        if flow.is_over:
            raise VerificationImpossible("the verification is over")
        try:
            return self._keep(step(flow))
        except Abort as abort:
            if abort.code == messages.UNEXPECTED:
                raise VerificationImpossible("the other side is not so far") from None
            return self._cancelled(flow, abort.code)

    def _cancelled(self, flow: Flow, code: str) -> Flow:
        if flow.is_over:
            return flow
        self._out.cancel(flow, code)
        reason = messages.REASONS[code]
        return self._keep(replace(flow, state=State.CANCELLED, code=code, reason=reason))

    def _new(
        self,
        user_id: str,
        flow_id: str,
        now_ms: int,
        *,
        room_id: str | None = None,
        device_id: str | None = None,
        we_asked: bool = True,
        asked: tuple[str, ...] = (),
    ) -> Flow:
        return Flow(
            flow_id=flow_id,
            room_id=room_id,
            other_user=user_id,
            other_device=device_id,
            we_asked=we_asked,
            state=State.REQUESTED,
            began_ms=now_ms,
            asked=asked,
        )

    def _introduction(self, methods: tuple[str, ...]) -> dict[str, Any]:
        return {"from_device": self._own.record.device_id, "methods": list(methods)}

    def _keep(self, flow: Flow) -> Flow:
        self._vault.put(flow.name, flow)
        return flow

    def _noted(self, flow: Flow) -> Notice:
        return VerificationChanged(flow.other_user, flow.flow_id)


def _unexpected(_flow: Flow) -> Flow:
    raise Abort(messages.UNEXPECTED)

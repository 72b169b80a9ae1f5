"""The steps of `m.sas.v1`: each takes a flow and a message, and returns the flow after it.

Source: C-S API v1.19, "Short Authentication String (SAS) verification".
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from e2e.client.account import OwnDevice
from e2e.client.errors import BadKeys
from e2e.client.primitives import KEY_BYTES, Entropy, x25519_public
from e2e.client.verification import dialects, messages, sas
from e2e.client.verification.dialects import MAC, OLD_MAC, Dialect
from e2e.client.verification.flow import SAS, Flow, Sas, State
from e2e.client.verification.messages import Abort, Messages
from e2e.client.verification.outcome import Outcome
from homeserver.events import base64

AGREEMENT = "curve25519-hkdf-sha256"
HASH = "sha256"

STRINGS = ("emoji", "decimal")


class SasSteps:
    def __init__(
        self, *, entropy: Entropy, own: OwnDevice, out: Messages, outcome: Outcome
    ) -> None:
        self._entropy = entropy
        self._own = own
        self._out = out
        self._outcome = outcome

    def start(self, flow: Flow) -> Flow:
        """We choose this method."""
        content = {
            "from_device": self._own.record.device_id,
            "method": SAS,
            "key_agreement_protocols": [AGREEMENT],
            "hashes": [HASH],
            "message_authentication_codes": [MAC, OLD_MAC],
            "short_authentication_string": list(STRINGS),
        }
        whole = self._out.send(flow, messages.START, content)
        return self._begun(flow, whole, we_started=True)

    def started(self, flow: Flow, content: dict[str, Any]) -> Flow:
        """They chose it: we choose how, and commit to our key without showing it."""
        dialect = dialects.of_start(content)
        if dialect is None:
            raise Abort(messages.UNKNOWN_METHOD)
        _require(content, "key_agreement_protocols", AGREEMENT)
        _require(content, "hashes", HASH)
        _require(content, "short_authentication_string", "decimal")
        flow = self._begun(flow, content, we_started=False, dialect=dialect)
        assert flow.sas is not None
        self._out.send(flow, messages.ACCEPT, _acceptance(flow.sas))
        return flow

    def accepted(self, flow: Flow, content: dict[str, Any]) -> Flow:
        """They accepted: now we show our key."""
        ours = self._expect(flow, State.STARTED, we_started=True)
        commitment, dialect = content.get("commitment"), dialects.of_accept(content)
        agreed = (
            content.get("key_agreement_protocol") == AGREEMENT,
            content.get("hash") == HASH,
        )
        if dialect is None or not all(agreed):
            raise Abort(messages.UNKNOWN_METHOD)
        if ours.commitment is not None or not isinstance(commitment, str):
            raise Abort(messages.UNEXPECTED)
        self._out.send(flow, messages.KEY, {"key": ours.public})
        return replace(flow, sas=replace(ours, commitment=commitment, dialect=dialect))

    def key(self, flow: Flow, content: dict[str, Any]) -> Flow:
        """Their key. Whoever started holds it against what was committed to."""
        ours, public = flow.sas, content.get("key")
        if ours is None or flow.state is not State.STARTED or not isinstance(public, str):
            raise Abort(messages.UNEXPECTED)
        if ours.we_started:
            if ours.commitment is None:
                raise Abort(messages.UNEXPECTED)
            if ours.commitment != sas.commitment(public, ours.start, ours.dialect):
                raise Abort(messages.MISMATCHED_COMMITMENT)
        else:
            self._out.send(flow, messages.KEY, {"key": ours.public})
        changed = replace(flow, sas=replace(ours, their_public=public), state=State.COMPARING)
        _secret(changed)
        return changed

    def confirm(self, flow: Flow, *, now_ms: int) -> Flow:
        """Our user says that the short strings are the same."""
        if flow.state is not State.COMPARING:
            raise Abort(messages.UNEXPECTED)
        macs = self._macs(flow, from_us=True).make(self._outcome.own_keys())
        self._out.send(flow, messages.MAC, macs)
        return self._finish(replace(flow, state=State.CONFIRMED), now_ms)

    def macs(self, flow: Flow, content: dict[str, Any], *, now_ms: int) -> Flow:
        """Their keys; they count when our user has confirmed, too."""
        if flow.sas is None or flow.state not in (State.COMPARING, State.CONFIRMED):
            raise Abort(messages.UNEXPECTED)
        shown = {"mac": content.get("mac"), "keys": content.get("keys")}
        flow = replace(flow, sas=replace(flow.sas, their_macs=shown))
        self._proven(flow)
        return self._finish(flow, now_ms)

    def strings(self, flow: Flow) -> sas.ShortStrings:
        """For the user to compare."""
        assert flow.sas is not None
        assert flow.sas.their_public is not None
        assert flow.other_device is not None
        own = self._own.record
        us = sas.Party(own.user_id, own.device_id, flow.sas.public)
        them = sas.Party(flow.other_user, flow.other_device, flow.sas.their_public)
        starter, accepter = (us, them) if flow.sas.we_started else (them, us)
        strings = sas.short_strings(
            _secret(flow), starter=starter, accepter=accepter, transaction_id=flow.flow_id
        )
        return replace(strings, emoji=()) if flow.sas.dialect is Dialect.NIO else strings

    def _begun(
        self,
        flow: Flow,
        start: dict[str, Any],
        *,
        we_started: bool,
        dialect: Dialect = Dialect.SPEC,
    ) -> Flow:
        private = self._entropy(KEY_BYTES)
        assert flow.other_device is not None
        known = self._outcome.keys_of(flow.other_user, flow.other_device)
        if not known:
            raise Abort(messages.KEY_MISMATCH)
        ours = Sas(
            we_started=we_started,
            start=start,
            private=base64.encode(private),
            public=base64.encode(x25519_public(private)),
            dialect=dialect,
        )
        return replace(flow, state=State.STARTED, sas=ours, their_keys=known)

    def _expect(self, flow: Flow, state: State, *, we_started: bool) -> Sas:
        if flow.sas is None or flow.state is not state or flow.sas.we_started != we_started:
            raise Abort(messages.UNEXPECTED)
        return flow.sas

    def _finish(self, flow: Flow, now_ms: int) -> Flow:
        """When both have confirmed."""
        if flow.state is not State.CONFIRMED or flow.sas is None or flow.sas.their_macs is None:
            return flow
        self._outcome.verified(flow, self._proven(flow))
        if flow.has_request:
            self._out.send(flow, messages.DONE, {})
        self._outcome.ask_for_missing(flow, now_ms=now_ms)
        return replace(flow, state=State.DONE)

    def _proven(self, flow: Flow) -> frozenset[str]:
        assert flow.sas is not None
        assert flow.sas.their_macs is not None
        try:
            return self._macs(flow, from_us=False).check(flow.sas.their_macs, flow.their_keys)
        except BadKeys:
            raise Abort(messages.KEY_MISMATCH) from None

    def _macs(self, flow: Flow, *, from_us: bool) -> sas.Macs:
        assert flow.other_device is not None
        assert flow.sas is not None
        own = self._own.record
        us, them = (own.user_id, own.device_id), (flow.other_user, flow.other_device)
        sender, receiver = (us, them) if from_us else (them, us)
        return sas.Macs(
            _secret(flow),
            sender=sender,
            receiver=receiver,
            transaction_id=flow.flow_id,
            dialect=flow.sas.dialect,
        )


def _acceptance(ours: Sas) -> dict[str, Any]:
    """The content of the message."""
    offered = ours.start["short_authentication_string"]
    strings = STRINGS[-1:] if ours.dialect is Dialect.NIO else STRINGS
    return {
        "method": SAS,
        "key_agreement_protocol": AGREEMENT,
        "hash": HASH,
        "message_authentication_code": dialects.METHODS[ours.dialect],
        "short_authentication_string": [name for name in strings if name in offered],
        "commitment": sas.commitment(ours.public, ours.start, ours.dialect),
    }


def _secret(flow: Flow) -> bytes:
    assert flow.sas is not None
    assert flow.sas.their_public is not None
    try:
        return sas.shared_secret(base64.decode(flow.sas.private), flow.sas.their_public)
    except BadKeys:
        raise Abort(messages.INVALID) from None


def _require(content: Mapping[str, Any], name: str, ours: str) -> None:
    """That they offer what we do."""
    offered = content.get(name)
    if not isinstance(offered, list):
        raise Abort(messages.INVALID)
    if ours not in offered:
        raise Abort(messages.UNKNOWN_METHOD)

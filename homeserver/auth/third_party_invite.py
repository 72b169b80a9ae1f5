"""The rules of an invite that an identity server vouches for: rule 5.4.1 of room version 12.

Source: also server-server API v1.19, "Third-party invites", "Verifying the invite".
"""

from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Any

from homeserver.auth.auth_state import AuthState
from homeserver.auth.verdict import ACCEPTED, Accepted, Rejected, Rule
from homeserver.errors import InvalidInput
from homeserver.events import base64
from homeserver.events.event import Event
from homeserver.events.signing import VerifyKey, signature_valid

# No rule has this limit. Without it two events full of keys and signatures cost a minute of
# computing; identity servers sign once, with one of two keys.
MAX_VERIFICATIONS = 1024


def authorise_third_party_invite(event: Event, target: str, room: AuthState) -> Accepted | Rejected:
    """Rule 5.4.1, for an invite of `target` whose content has `third_party_invite`."""
    # 5.4.1.1
    if room.membership(target) == "ban":
        return Rejected(Rule.THIRD_PARTY_INVITE_BANNED)
    invite = event.content["third_party_invite"]
    signed = invite.get("signed") if isinstance(invite, Mapping) else None
    # 5.4.1.2
    if not isinstance(signed, Mapping):
        return Rejected(Rule.THIRD_PARTY_INVITE_WITHOUT_SIGNED)
    # 5.4.1.3
    if "mxid" not in signed or "token" not in signed:
        return Rejected(Rule.THIRD_PARTY_INVITE_INCOMPLETE)
    # 5.4.1.4
    if signed["mxid"] != target:
        return Rejected(Rule.THIRD_PARTY_INVITE_OTHER_USER)
    return _by_token(event, signed, room)


def _by_token(event: Event, signed: Mapping[str, Any], room: AuthState) -> Accepted | Rejected:
    token = signed["token"]
    promise = room.third_party_invite(token) if isinstance(token, str) else None
    # 5.4.1.5
    if promise is None:
        return Rejected(Rule.THIRD_PARTY_INVITE_UNKNOWN_TOKEN)
    # 5.4.1.6
    if promise.sender != event.sender:
        return Rejected(Rule.THIRD_PARTY_INVITE_OTHER_SENDER)
    # 5.4.1.7, 5.4.1.8
    is_signed = _any_signature_matches(signed, promise.content)
    return ACCEPTED if is_signed else Rejected(Rule.THIRD_PARTY_INVITE_SIGNATURE)


def _any_signature_matches(signed: Mapping[str, Any], promise: Mapping[str, Any]) -> bool:
    """Rule 5.4.1.7: whether any signature of `signed` is by any public key that was promised."""
    keys = dict.fromkeys(_public_keys(promise))
    attempts = islice(product(_signatures(signed), keys), MAX_VERIFICATIONS)
    try:
        return any(
            signature_valid(signed, server, key_id, key) for (server, key_id), key in attempts
        )
    except InvalidInput:  # it has no canonical JSON, so nobody can have signed it
        return False


def _signatures(signed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Server and key ID of each Ed25519 signature."""
    by_server = signed.get("signatures")
    for server, signatures in by_server.items() if isinstance(by_server, Mapping) else ():
        for key_id in signatures if isinstance(signatures, Mapping) else ():
            if key_id.startswith("ed25519:"):
                yield server, key_id


def _public_keys(content: Mapping[str, Any]) -> Iterator[VerifyKey]:
    """Those that can be read, of `public_key` (5.4.1.7.1) and `public_keys` (5.4.1.7.2)."""
    listed = content.get("public_keys")
    entries = listed if isinstance(listed, list) else []
    for holder in (content, *entries):
        encoded = holder.get("public_key") if isinstance(holder, Mapping) else None
        if isinstance(encoded, str) and (key := _read_key(encoded)) is not None:
            yield key


def _read_key(encoded: str) -> VerifyKey | None:
    try:
        return VerifyKey(base64.decode(encoded))
    except InvalidInput:
        return None

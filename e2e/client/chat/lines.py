"""Happenings as lines of text."""

from datetime import UTC, datetime
from typing import Any

from e2e.client.chat.terminal import harmless
from e2e.client.notices import (
    BundleArrived,
    DeviceKeysRefused,
    IdentityChanged,
    RoomKeyWithheld,
    SecretArrived,
    VerificationChanged,
)
from e2e.client.records import Source
from e2e.client.session import Happening, Invited, Said
from e2e.client.trust import Trust

_SENT = ("m.text", "m.notice", "m.emote")


def line_of(happening: Happening, *, room_id: str | None = None) -> str | None:
    """None for what does not concern a reader, or another room."""
    if isinstance(happening, Said):
        is_here = room_id is None or happening.room_id == room_id
        return _said(happening, with_room=room_id is None) if is_here else None
    if isinstance(happening, Invited):
        return harmless(
            f"-- {happening.sender} invites you to {happening.name or 'a room'}: "
            f"foyer chat join {happening.room_id}"
        )
    return _notice(happening)


def as_json(said: Said) -> dict[str, Any]:
    """One event for programs."""
    event = said.event
    return {
        "room_id": said.room_id,
        "event_id": event.get("event_id"),
        "sender": event.get("sender"),
        "at_ms": event.get("origin_server_ts"),
        "type": event.get("type"),
        "content": event.get("content"),
        "encrypted": said.decrypted is not None,
        "warning": warning(said),
        "problem": said.problem,
    }


def warning(said: Said) -> str | None:
    """Why an encrypted message is not quite to be trusted."""
    if said.decrypted is None:
        return None
    origin = said.decrypted.origin
    if origin.source is not Source.DIRECT:
        by = "" if origin.shared_by is None else f" by {origin.shared_by}"
        return f"key from {origin.source}{by}"
    if origin.trust is None:
        return "unknown device"
    return {
        Trust.UNSIGNED: "device not signed by its user",
        Trust.CHANGED: "identity changed",
        Trust.BLOCKED: "blocked device",
    }.get(origin.trust)


def _said(said: Said, *, with_room: bool) -> str | None:
    event, content = said.event, said.event.get("content", {})
    if said.problem is not None:
        text = f"(cannot be read: {said.problem})"
    elif event.get("type") != "m.room.message":
        return None
    else:
        text = _text(content)
    doubt = warning(said)
    marks = f" [{doubt}]" if doubt else ""
    place = f"{said.room_id} " if with_room else ""
    sender = str(event.get("sender"))
    return harmless(f"{place}{_time(event)} {sender}: {text}{marks}")


def _text(content: dict[str, Any]) -> str:
    body = str(content.get("body", ""))
    if content.get("msgtype") in _SENT:
        return body
    if "file" in content or "url" in content:
        return f"(file) {body}"
    return f"({content.get('msgtype')}) {body}"


def _time(event: dict[str, Any]) -> str:
    sent_ms = event.get("origin_server_ts")
    if not isinstance(sent_ms, int):
        return "--:--"
    return datetime.fromtimestamp(sent_ms / 1000, tz=UTC).astimezone().strftime("%H:%M")


def _notice(notice: Happening) -> str | None:
    match notice:
        case IdentityChanged():
            verified = "verified " if notice.was_verified else ""
            text = f"the {verified}identity of {notice.user_id} changed"
        case RoomKeyWithheld():
            text = f"{notice.sender} withholds a key ({notice.code})"
        case DeviceKeysRefused():
            text = notice.reason
        case SecretArrived():
            text = f"another device sent the secret {notice.name}"
        case BundleArrived():
            text = f"{notice.sender} shares the history of {notice.room_id}"
        case VerificationChanged():
            text = f"{notice.user_id} verifies with you: foyer chat verify {notice.user_id}"
        case _:
            return None
    return harmless(f"-- {text}")

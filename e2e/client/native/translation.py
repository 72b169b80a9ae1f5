"""Frames and messages of the native protocol, in the shape of `/sync` for a session. Pure.

A room is called by its Matrix ID if it is encrypted, because that is what its messages contain;
else by its UUID. Events that are not encrypted are called by their messages' UUIDs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from homeserver.identifiers import native_uuid

JSON = dict[str, Any]

MESSAGE = "m.room.message"
ENCRYPTED = "m.room.encrypted"
_MEMBER = "m.room.member"
_CIPHER = ("algorithm", "ciphertext", "session_id", "sender_key", "device_id")
_SIGILS = ("$", "!", "@")
NO_STOCK: Mapping[str, Any] = MappingProxyType({})


@dataclass(slots=True)
class KnownRoom:
    """outline: as frames and lists told it. members: Matrix ID → membership, None: to be asked for.
    people: UUID → Matrix ID.
    """

    uuid: str
    outline: JSON = field(default_factory=dict)
    members: dict[str, str] | None = None
    people: dict[str, str] = field(default_factory=dict)

    @property
    def room_id(self) -> str:
        return str(self.outline.get("matrix_id") or self.uuid)

    @property
    def is_encrypted(self) -> bool:
        return isinstance(self.outline.get("encryption"), Mapping)

    def state(self) -> list[JSON]:
        """The state events that a session looks at."""
        found = [_state("m.room.name", {"name": self.outline.get("name")})]
        if self.is_encrypted:
            found.append(_state("m.room.encryption", dict(self.outline["encryption"])))
        if self.outline.get("history_visibility"):
            content = {"history_visibility": self.outline["history_visibility"]}
            found.append(_state("m.room.history_visibility", content))
        return found


class Told:
    """What one answer tells: frames are taken in, `answer` is what a session reads. stock: what was
    told last of the keys that the server has of the device.
    """

    def __init__(
        self, rooms: dict[str, KnownRoom], *, own_id: str, stock: Mapping[str, Any] = NO_STOCK
    ) -> None:
        self._rooms = rooms
        self.stock = dict(stock)
        self._own_id = own_id
        self._joined: dict[str, JSON] = {}
        self._invited: JSON = {}
        self._left: JSON = {}
        self._to_device: list[JSON] = []
        self._changed: set[str] = set()
        self._gone: set[str] = set()
        self.cursor: str | None = None
        self.news: str | None = None

    def take(self, frame: Mapping[str, Any]) -> None:
        """A frame of the server; those that say nothing to a session are passed over."""
        if isinstance(frame.get("cursor"), str):
            self.cursor = frame["cursor"]
        match frame.get("type"):
            case "message.new" | "message.updated":
                self._message(frame["message"], is_edit=frame["type"] == "message.updated")
            case "message.deleted":
                self._deleted(frame)
            case "room.joined" | "room.updated":
                known = self.room(frame["room"], limited=frame["type"] == "room.joined")
                known.members = None
            case "room.invited":
                self.invited(frame["room"], frame["by"])
            case "room.left" | "room.deleted":
                self._room_left(str(frame["room_id"]))
            case "member.joined" | "member.left":
                self._member(frame)
            case "encryption.news":
                self._news(frame)

    def room(self, outline: Mapping[str, Any], *, limited: bool) -> KnownRoom:
        """A room as it is now. limited: members may have left whom nobody told of."""
        uuid = str(outline["id"])
        known = self._rooms.setdefault(uuid, KnownRoom(uuid))
        before = known.room_id
        known.outline = {**known.outline, **outline}
        if before != known.room_id:
            self._joined.pop(before, None)
            self._left[before] = {}
            limited = True
        self._invited.pop(known.room_id, None)
        self._left.pop(known.room_id, None)
        room = self._of(known)
        room["state"]["events"] += known.state()
        room["timeline"]["limited"] = room["timeline"]["limited"] or limited
        return known

    def invited(self, outline: Mapping[str, Any], by: Mapping[str, Any]) -> None:
        """The caller may join a room."""
        events = [
            _state("m.room.name", {"name": outline.get("name")}),
            {
                "type": _MEMBER,
                "state_key": self._own_id,
                "sender": str(by["user_id"]),
                "content": {"membership": "invite"},
            },
        ]
        room_id = str(outline.get("matrix_id") or outline["id"])
        self._invited[room_id] = {"invite_state": {"events": events}}

    def answer(self, next_batch: str) -> JSON:
        return {
            "next_batch": next_batch,
            "rooms": {"join": self._joined, "invite": self._invited, "leave": self._left},
            "to_device": {"events": self._to_device},
            "device_lists": {"changed": sorted(self._changed), "left": sorted(self._gone)},
            **self.stock,
        }

    def _of(self, known: KnownRoom) -> JSON:
        empty = {"state": {"events": []}, "timeline": {"events": [], "limited": False}}
        return self._joined.setdefault(known.room_id, empty)

    def _message(self, message: Mapping[str, Any], *, is_edit: bool) -> None:
        known = self._rooms.get(str(message["room_id"]))
        if known is not None:
            self._of(known)["timeline"]["events"].append(event_of(message, known, is_edit=is_edit))

    def _deleted(self, frame: Mapping[str, Any]) -> None:
        known = self._rooms.get(str(frame["room_id"]))
        if known is not None:
            event = {
                "type": "m.room.redaction",
                "redacts": str(frame["message_id"]),
                "sender": known.people.get(str(frame["user_id"]), str(frame["user_id"])),
                "content": {"redacts": str(frame["message_id"])},
            }
            self._of(known)["timeline"]["events"].append(event)

    def _room_left(self, uuid: str) -> None:
        known = self._rooms.pop(uuid, KnownRoom(uuid))
        self._joined.pop(known.room_id, None)
        self._left[known.room_id] = {}

    def _member(self, frame: Mapping[str, Any]) -> None:
        known = self._rooms.get(str(frame["room_id"]))
        if known is None:
            return
        known.members = None
        uuid = str(frame["user_id"])
        event = {
            "type": _MEMBER,
            "state_key": known.people.get(uuid, uuid),
            "content": {
                "membership": "join" if frame["type"] == "member.joined" else "leave",
                "displayname": frame.get("user_name"),
            },
        }
        self._of(known)["timeline"]["events"].append(event)

    def _news(self, frame: Mapping[str, Any]) -> None:
        self.news = str(frame["token"])
        self._to_device += frame.get("to_device") or []
        lists = frame.get("device_lists") or {}
        changed, left = set(lists.get("changed") or ()), set(lists.get("left") or ())
        self._changed = (self._changed - left) | changed
        self._gone = (self._gone - changed) | left
        self.stock = {
            "device_one_time_keys_count": frame.get("one_time_key_counts") or {},
            "device_unused_fallback_key_types": frame.get("unused_fallback_key_types"),
        }


def event_of(message: Mapping[str, Any], room: KnownRoom, *, is_edit: bool = False) -> JSON:
    """A message as an event. `message_id` is its UUID."""
    sent = datetime.fromisoformat(str(message["created_at"]))
    event: JSON = {
        "room_id": room.room_id,
        "message_id": str(message["id"]),
        "origin_server_ts": int(sent.timestamp() * 1000),
    }
    encrypted = message.get("encrypted")
    relation = _relation(message, encrypted, is_edit=is_edit)
    if isinstance(encrypted, Mapping):
        content = {key: encrypted[key] for key in _CIPHER if encrypted.get(key) is not None}
        event |= {"type": ENCRYPTED, "event_id": str(encrypted["event_id"])}
        event["sender"] = str(encrypted["sender"])
    else:
        content = _plain(message)
        user = str(message["user_id"])
        event |= {"type": MESSAGE, "event_id": str(message["id"])}
        event["sender"] = room.people.get(user, str(message.get("user_name") or user))
    return {**event, "content": {**content, "m.relates_to": relation} if relation else content}


def uuid_of(identifier: str) -> str:
    """Of a Matrix ID; a UUID is its own. Source: docs/ARCHITECTURE.md, "UUIDs"."""
    return str(native_uuid(identifier)) if identifier.startswith(_SIGILS) else identifier


def mxc_of(url: str) -> str:
    """Of the `url` of an attachment, a path that names it."""
    server, media_id = url.partition("/api/attachments/")[2].split("/")[:2]
    return f"mxc://{server}/{media_id}"


def written(event_type: str, content: Mapping[str, Any]) -> JSON:
    """What is sent for an event: the body of a new message, or of an edit. `edits` names the
    message that it replaces. Raises KeyError for what native messages cannot be.
    """
    relates = content.get("m.relates_to") or {}
    body: JSON = {"encrypted": _cipher(content)} if event_type == ENCRYPTED else _text(content)
    answered = (relates.get("m.in_reply_to") or {}).get("event_id")
    is_falling_back = relates.get("is_falling_back") is True
    match relates.get("rel_type"):
        case "m.replace":
            return {**body, "edits": uuid_of(str(relates["event_id"]))}
        case "m.thread":
            body["thread_id"] = uuid_of(str(relates["event_id"]))
        case "m.reference":
            body["encrypted"]["reference"] = str(relates["event_id"])
    if answered and not is_falling_back:
        body["reply_to"] = uuid_of(str(answered))
    return body


def _cipher(content: Mapping[str, Any]) -> JSON:
    return {key: content[key] for key in _CIPHER if content.get(key) is not None}


def _text(content: Mapping[str, Any]) -> JSON:
    if "url" in content:
        is_captioned = "filename" in content and content["filename"] != content["body"]
        caption = content["body"] if is_captioned else ""
        return {"attachments": [str(native_uuid(str(content["url"])))], "content": caption}
    return {"content": str(content["body"])}


def _plain(message: Mapping[str, Any]) -> JSON:
    text = str(message.get("content") or "")
    attachments = message.get("attachments") or []
    if not attachments:
        return {"msgtype": "m.text", "body": text}
    file = attachments[0]
    return {
        "msgtype": "m.file",
        "body": text or file["filename"],
        "filename": file["filename"],
        "url": mxc_of(str(file["url"])),
        "info": {"size": file["size"], "mimetype": file["mime_type"]},
    }


def _relation(message: Mapping[str, Any], encrypted: Any, *, is_edit: bool) -> JSON:
    """Events that are named natively are named by their messages' UUIDs."""
    if is_edit:
        return {"rel_type": "m.replace", "event_id": str(message["id"])}
    relation: JSON = {}
    if isinstance(encrypted, Mapping) and encrypted.get("reference"):
        relation |= {"rel_type": "m.reference", "event_id": str(encrypted["reference"])}
    if message.get("thread_id"):
        relation |= {"rel_type": "m.thread", "event_id": str(message["thread_id"])}
    if message.get("reply_to"):
        relation["m.in_reply_to"] = {"event_id": str(message["reply_to"])}
    return relation


def _state(event_type: str, content: JSON) -> JSON:
    return {"type": event_type, "state_key": "", "content": content}

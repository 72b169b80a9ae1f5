"""Contents of events, for clients that let programs write them."""

from typing import Any


def text(body: str) -> dict[str, Any]:
    return {"msgtype": "m.text", "body": body}


def edit(event_id: str, body: str) -> dict[str, Any]:
    return {
        **text(f"* {body}"),
        "m.new_content": text(body),
        "m.relates_to": {"rel_type": "m.replace", "event_id": event_id},
    }


def reply(event_id: str, body: str) -> dict[str, Any]:
    return {**text(body), "m.relates_to": {"m.in_reply_to": {"event_id": event_id}}}


def in_thread(root: str, last: str, body: str) -> dict[str, Any]:
    """last: what clients without threads show this as a reply to."""
    relation = {
        "rel_type": "m.thread",
        "event_id": root,
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": last},
    }
    return {**text(body), "m.relates_to": relation}


def reaction(event_id: str, key: str) -> dict[str, Any]:
    return {"m.relates_to": {"rel_type": "m.annotation", "event_id": event_id, "key": key}}

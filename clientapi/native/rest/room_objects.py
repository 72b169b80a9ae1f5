"""Rooms and what belongs to them, as whoever asks sees them."""

from clientapi.native import render
from clientapi.native.render import Rendered
from homeserver.requester import Requester
from homeserver.views.room_settings import RoomDetails
from homeserver.views.rooms import (
    ChannelView,
    EncryptedRoom,
    InviteView,
    MemberView,
    RoomSummary,
)
from schema.wire.times import timestamp


def room(view: RoomDetails, by: Requester) -> Rendered:
    """See `schema.wire.objects.Room`."""
    rendered = render.room(view, reader=by.user_uuid)
    return rendered if view.role is None else {**rendered, "role": view.role}


def summary(view: RoomSummary) -> Rendered:
    """See `schema.wire.objects.RoomSummary`."""
    last = view.last_message
    return {
        "id": view.uuid,
        "name": view.name,
        "type": view.kind,
        "last_message": None if last is None else render.message(last, personal=True),
        "unread_count": view.unread_count,
        "topic": view.topic,
        "avatar_url": render.picture(view.avatar_url),
        "member_count": view.member_count,
        "last_read_id": view.last_read_id,
        **render.encryption(view.room_id, view.encryption),
    }


def channel(view: ChannelView) -> Rendered:
    """See `schema.wire.objects.Channel`."""
    return {
        "id": view.uuid,
        "name": view.name,
        "topic": view.topic,
        "avatar_url": render.picture(view.avatar_url),
        "member_count": view.member_count,
        "joined": view.joined,
    }


def invite(view: InviteView, by: Requester) -> Rendered:
    """See `schema.wire.objects.Invite`."""
    return {
        "room": render.room_outline(view.room, reader=by.user_uuid),
        "by": render.inviter(view.by),
        "invited_at": timestamp(view.invited_at_ms),
    }


def recipients(view: EncryptedRoom) -> Rendered:
    """See `schema.wire.encryption.RoomEncryption`."""
    return {
        "matrix_id": view.room_id,
        "algorithm": view.encryption.algorithm,
        "rotation_period_ms": view.encryption.rotation_period_ms,
        "rotation_period_msgs": view.encryption.rotation_period_msgs,
        "history_visibility": view.history_visibility,
        "members": [
            {
                **render.user_ref(each.person),
                "user_id": each.person.user_id,
                "membership": each.membership,
            }
            for each in view.recipients
        ],
    }


def member(view: MemberView) -> Rendered:
    """See `schema.wire.objects.Member`."""
    return {
        "id": view.person.uuid,
        "name": view.person.name,
        "avatar_url": render.picture(view.person.avatar_url),
        "role": view.role,
    }

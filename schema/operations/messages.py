"""Operations on messages."""

from schema.operations.operation import Operation
from schema.wire.errors import ErrorCode
from schema.wire.objects import Message, Receipt
from schema.wire.paths import MessagePath, NoPath, ReactionPath, RoomPath
from schema.wire.requests import (
    EditMessage,
    MessagePage,
    MessageSearch,
    NewMessage,
    NoBody,
    NoQuery,
)
from schema.wire.responses import MessageCreated, Reacted

_TAG = "Messages"
_IN_ROOM = (ErrorCode.INVALID_ROOM, ErrorCode.INVALID_MESSAGE)
_CHANGE = (ErrorCode.INVALID_MESSAGE, ErrorCode.FORBIDDEN)
_REACTION = (*_CHANGE, ErrorCode.INVALID_INPUT)

LIST_MESSAGES = Operation(
    name="listMessages",
    tag=_TAG,
    summary="A page of a room's messages, the oldest first.",
    method="GET",
    path="/api/rooms/{room_id}/messages",
    params=RoomPath,
    query=MessagePage,
    body=NoBody,
    answers={200: list[Message]},
    errors=_IN_ROOM,
)
SEND_MESSAGE = Operation(
    name="sendMessage",
    tag=_TAG,
    summary="Write a message.",
    method="POST",
    path="/api/rooms/{room_id}/messages",
    params=RoomPath,
    query=NoQuery,
    body=NewMessage,
    answers={201: MessageCreated},
    errors=(*_IN_ROOM, ErrorCode.FORBIDDEN, ErrorCode.ENCRYPTION_REQUIRED),
)
GET_MESSAGE = Operation(
    name="getMessage",
    tag=_TAG,
    summary="A message.",
    method="GET",
    path="/api/messages/{message_id}",
    params=MessagePath,
    query=NoQuery,
    body=NoBody,
    answers={200: Message},
    errors=(ErrorCode.INVALID_MESSAGE,),
)
EDIT_MESSAGE = Operation(
    name="editMessage",
    tag=_TAG,
    summary="Replace the content of a message of one's own.",
    method="PATCH",
    path="/api/messages/{message_id}",
    params=MessagePath,
    query=NoQuery,
    body=EditMessage,
    answers={200: Message},
    errors=(*_CHANGE, ErrorCode.ENCRYPTION_REQUIRED),
)
DELETE_MESSAGE = Operation(
    name="deleteMessage",
    tag=_TAG,
    summary="Delete a message: one's own, or as an admin of the room.",
    method="DELETE",
    path="/api/messages/{message_id}",
    params=MessagePath,
    query=NoQuery,
    body=NoBody,
    answers={204: None},
    errors=_CHANGE,
)
ADD_REACTION = Operation(
    name="addReaction",
    tag=_TAG,
    summary="React to a message; the key is percent-encoded.",
    method="PUT",
    path="/api/messages/{message_id}/reactions/{key}",
    params=ReactionPath,
    query=NoQuery,
    body=NoBody,
    answers={200: Reacted},
    errors=_REACTION,
)
REMOVE_REACTION = Operation(
    name="removeReaction",
    tag=_TAG,
    summary="Take a reaction of one's own back.",
    method="DELETE",
    path="/api/messages/{message_id}/reactions/{key}",
    params=ReactionPath,
    query=NoQuery,
    body=NoBody,
    answers={204: None},
    errors=(*_REACTION, ErrorCode.NOT_FOUND),
)
GET_THREAD = Operation(
    name="getThread",
    tag=_TAG,
    summary="A page of the messages of a thread but its first one, the oldest first.",
    method="GET",
    path="/api/messages/{message_id}/thread",
    params=MessagePath,
    query=MessagePage,
    body=NoBody,
    answers={200: list[Message]},
    errors=(ErrorCode.INVALID_MESSAGE,),
)
GET_RECEIPTS = Operation(
    name="getReceipts",
    tag=_TAG,
    summary="Who has received and read a message.",
    method="GET",
    path="/api/messages/{message_id}/receipts",
    params=MessagePath,
    query=NoQuery,
    body=NoBody,
    answers={200: list[Receipt]},
    errors=(ErrorCode.INVALID_MESSAGE,),
)
SEARCH_MESSAGES = Operation(
    name="searchMessages",
    tag=_TAG,
    summary="Search the messages that the caller may see, the newest first.",
    method="GET",
    path="/api/search",
    params=NoPath,
    query=MessageSearch,
    body=NoBody,
    answers={200: list[Message]},
    errors=(*_IN_ROOM, ErrorCode.INVALID_USER, ErrorCode.FORBIDDEN),
)

OPERATIONS = (
    LIST_MESSAGES,
    SEND_MESSAGE,
    GET_MESSAGE,
    EDIT_MESSAGE,
    DELETE_MESSAGE,
    ADD_REACTION,
    REMOVE_REACTION,
    GET_THREAD,
    GET_RECEIPTS,
    SEARCH_MESSAGES,
)

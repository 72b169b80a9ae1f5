"""The models of the wire: the seed's examples, and what requests refuse."""

import json
from types import UnionType
from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError

from schema.wire import client_frames, encryption, objects, requests, responses, server_frames
from schema.wire.base import Answer, ExactRequest, Request
from schema.wire.client_frames import CLIENT_FRAMES, ClientFrame, parse_client_frame
from schema.wire.server_frames import SERVER_FRAMES
from schema.wire.times import timestamp

ROOM = "0b7c2f3e-9a4d-5c1e-8f60-1a2b3c4d5e6f"
MESSAGE = "1c8d3a4f-0b5e-5d2f-9a71-2b3c4d5e6f70"
USER = "2d9e4b5a-1c6f-5e3a-8b82-3c4d5e6f7081"
OTHER = "3eaf5c6b-2d7a-5f4b-9c93-4d5e6f708192"

MESSAGE_NEW = {
    "id": MESSAGE,
    "room_id": ROOM,
    "user_id": USER,
    "user_name": "Alice",
    "content": "Hello world",
    "created_at": "2024-11-18T10:30:00Z",
    "reply_to": None,
    "attachments": [],
}

SEED_CLIENT_FRAMES = [
    {"type": "message.send", "room_id": ROOM, "content": "Hello world", "reply_to": MESSAGE},
    {"type": "message.send", "room_id": ROOM, "content": "Hello world"},
    {"type": "typing.start", "room_id": ROOM},
    {"type": "typing.stop", "room_id": ROOM},
    {"type": "message.read", "room_id": ROOM, "message_id": MESSAGE},
    *(
        {"type": "presence.update", "status": status}
        for status in ("online", "away", "busy", "offline")
    ),
    {"type": "ping"},
]

SEED_SERVER_FRAMES = [
    {"type": "message.new", "message": MESSAGE_NEW},
    {"type": "message.delivered", "message_id": MESSAGE, "delivered_at": "2024-11-18T10:30:01Z"},
    {
        "type": "message.read",
        "message_id": MESSAGE,
        "user_id": USER,
        "read_at": "2024-11-18T10:30:05Z",
    },
    {"type": "typing", "room_id": ROOM, "user_id": USER, "user_name": "Bob"},
    {
        "type": "presence",
        "user_id": USER,
        "status": "online",
        "last_seen": "2024-11-18T10:30:00Z",
    },
    {
        "type": "room.updated",
        "room": {"id": ROOM, "name": "Team Chat", "members": [USER, OTHER]},
    },
    {"type": "pong"},
    {"type": "error", "code": "INVALID_ROOM", "message": "Room not found"},
]

SEED_REQUESTS = [
    (requests.Login, {"email": "alice@example.com", "password": "correct horse"}),
    (requests.NewRoom, {"name": "Team", "type": "group", "members": [USER, OTHER]}),
    (requests.NewRoom, {"type": "direct", "members": [USER]}),
    (requests.UpdateRoom, {"name": "Team", "members": [USER]}),
    (requests.UpdateRoom, {}),
    (requests.NewMessage, {"content": "Hello", "reply_to": MESSAGE, "attachments": []}),
    (requests.NewMessage, {"content": "Hello"}),
]

SEED_ANSWERS = [
    (
        objects.RoomSummary,
        {
            "id": ROOM,
            "name": "Team",
            "type": "group",
            "last_message": MESSAGE_NEW,
            "unread_count": 3,
        },
    ),
    (
        objects.Room,
        {
            "id": ROOM,
            "name": "Team",
            "type": "group",
            "members": [USER, OTHER],
            "created_at": "2024-11-18T10:30:00Z",
        },
    ),
    (responses.MessageCreated, {"id": MESSAGE, "created_at": "2024-11-18T10:30:00Z"}),
    (
        objects.User,
        {
            "id": USER,
            "name": "Alice",
            "email": "alice@example.com",
            "avatar_url": None,
            "status": "online",
        },
    ),
    (objects.UserHit, {"id": USER, "name": "Alice", "email": "alice@example.com"}),
    (
        objects.Presence,
        {"user_id": USER, "status": "online", "last_seen": "2024-11-18T10:30:00Z"},
    ),
    (
        objects.Attachment,
        {
            "id": MESSAGE,
            "url": "https://example.com/a.png",
            "filename": "a.png",
            "size": 12,
            "mime_type": "image/png",
        },
    ),
]


def again(model: BaseModel) -> object:
    """What a model says in JSON, without what it was not given."""
    return json.loads(model.model_dump_json(exclude_unset=True))


def server_frame(frame: dict) -> BaseModel:
    kinds = {kind.model_fields["type"].annotation.__args__[0]: kind for kind in SERVER_FRAMES}
    return kinds[frame["type"]].model_validate_json(json.dumps(frame), extra="forbid")


def requests_of(module: object) -> list[type[Request]]:
    return [
        model
        for model in vars(module).values()
        if isinstance(model, type)
        and issubclass(model, Request)
        and model.__module__ == module.__name__
    ]


class TestTheSeed:
    """Sections 1 and 2 of the specification of the native protocol."""

    @pytest.mark.parametrize("frame", SEED_CLIENT_FRAMES, ids=lambda frame: frame["type"])
    def test_every_client_frame_is_understood(self, frame):
        assert again(parse_client_frame(json.dumps(frame))) == frame

    @pytest.mark.parametrize("frame", SEED_SERVER_FRAMES, ids=lambda frame: frame["type"])
    def test_every_server_frame_is_written_the_same(self, frame):
        assert again(server_frame(frame)) == frame

    @pytest.mark.parametrize(("model", "body"), SEED_REQUESTS)
    def test_every_request_is_understood(self, model, body):
        assert again(model.model_validate_json(json.dumps(body))) == body

    @pytest.mark.parametrize(("model", "body"), SEED_ANSWERS)
    def test_every_answer_is_written_the_same(self, model, body):
        answer = model.model_validate_json(json.dumps(body), extra="forbid")
        assert again(answer) == body


class TestUnknownFields:
    """The rule in `schema.wire`: refused where an optional field could be lost."""

    @pytest.mark.parametrize(
        "model", [*requests_of(requests), *requests_of(encryption), *CLIENT_FRAMES]
    )
    def test_a_request_with_optional_data_refuses_fields_it_does_not_know(self, model):
        optional = {
            name for name, field in model.model_fields.items() if not field.is_required()
        } - {"ref"}
        if optional == {"content", "encrypted"}:
            # One of them is needed, so neither can be lost.
            optional = set()
        assert issubclass(model, ExactRequest) == bool(optional)

    def test_a_misspelt_optional_field_is_named(self):
        frame = {"type": "message.send", "room_id": ROOM, "content": "a", "replyto": MESSAGE}
        with pytest.raises(ValidationError) as refusal:
            parse_client_frame(json.dumps(frame))
        assert refusal.value.errors()[0]["loc"] == ("message.send", "replyto")

    def test_a_newer_client_may_say_more_elsewhere(self):
        frame = {"type": "typing.start", "room_id": ROOM, "mood": "happy"}
        assert again(parse_client_frame(json.dumps(frame))) == {
            "type": "typing.start",
            "room_id": ROOM,
        }


class TestTexts:
    @pytest.mark.parametrize("content", ["", " ", "\n\t ", "\u3000", "a\0b"])
    def test_a_message_without_content_or_with_nul_is_refused(self, content):
        with pytest.raises(ValidationError):
            requests.NewMessage.model_validate_json(json.dumps({"content": content}))

    @pytest.mark.parametrize("content", ["a", " a ", "👋", "\u202eabc", "a\nb"])
    def test_any_other_text_is_kept_as_it_is(self, content):
        message = requests.NewMessage.model_validate_json(json.dumps({"content": content}))
        assert message.content == content

    def test_half_a_character_is_no_text(self):
        with pytest.raises(ValidationError):
            requests.NewMessage.model_validate_json('{"content": "\\ud83d"}')

    @pytest.mark.parametrize("url", ["https://a.example/b.png", "mxc://a.example/b", ""])
    def test_an_avatar_may_be_an_address_or_none(self, url):
        update = requests.UpdateMe.model_validate_json(json.dumps({"avatar_url": url}))
        assert update.avatar_url == url

    @pytest.mark.parametrize(
        "path", ["/api/attachments/a.example/b", "/api/attachments/a.example/b/%C3%A4.png"]
    )
    def test_an_avatar_may_be_what_was_uploaded(self, path):
        update = requests.UpdateMe.model_validate_json(json.dumps({"avatar_url": path}))
        assert update.avatar_url == "mxc://a.example/b"

    @pytest.mark.parametrize(
        "url",
        [
            "/api/attachments/a/b/c/d",
            "/api/x",
            "/api/attachments/a/b?c",
            "javascript:alert(1)",
            "data:text/html,x",
            "//a",
            "https:",
        ],
    )
    def test_an_avatar_is_nothing_that_runs(self, url):
        with pytest.raises(ValidationError):
            requests.UpdateMe.model_validate_json(json.dumps({"avatar_url": url}))

    def test_numbers_are_not_texts(self):
        with pytest.raises(ValidationError):
            requests.NewMessage.model_validate_json('{"content": 5}')


class TestQueries:
    def test_a_page_has_fifty_entries_unless_told(self):
        assert requests.MessagePage.model_validate({}).limit == 50

    @pytest.mark.parametrize("limit", ["1", "200"])
    def test_a_page_has_up_to_two_hundred_entries(self, limit):
        assert requests.MessagePage.model_validate({"limit": limit}).limit == int(limit)

    @pytest.mark.parametrize("limit", ["0", "201", "-1", "ten", "1.5", ""])
    def test_another_limit_is_refused(self, limit):
        with pytest.raises(ValidationError):
            requests.MessagePage.model_validate({"limit": limit})

    def test_search_calls_the_sender_from(self):
        query = requests.MessageSearch.model_validate({"q": "lunch", "from": USER})
        assert str(query.from_) == USER


class TestTimes:
    def test_a_time_has_milliseconds_and_z(self):
        assert timestamp(1_731_925_800_042) == "2024-11-18T10:30:00.042Z"

    @pytest.mark.parametrize(
        ("ms", "text"),
        [(-1, "1970-01-01T00:00:00.000Z"), (2**53 - 1, "9999-12-31T23:59:59.999Z")],
    )
    def test_a_time_that_cannot_be_written_becomes_the_nearest_that_can(self, ms, text):
        assert timestamp(ms) == text


class TestTheListsOfFrames:
    def test_the_list_of_client_frames_is_what_is_parsed(self):
        union = get_args(ClientFrame)[0]
        assert isinstance(union, UnionType)
        assert set(get_args(union)) == set(CLIENT_FRAMES)

    def test_the_list_of_client_frames_has_every_frame_of_the_module(self):
        defined = {model for model in requests_of(client_frames) if "type" in model.model_fields}
        assert defined == set(CLIENT_FRAMES)

    def test_the_list_of_server_frames_has_every_frame_of_the_module(self):
        defined = {
            model
            for model in vars(server_frames).values()
            if isinstance(model, type)
            and issubclass(model, Answer)
            and model.__module__ == server_frames.__name__
            and "type" in model.model_fields
        }
        assert defined == set(SERVER_FRAMES)

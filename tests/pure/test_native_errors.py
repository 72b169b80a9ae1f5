"""Errors as clients of the native protocol are told about them."""

import inspect
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from clientapi.errors import Problem, frame_problem, input_error, problem_of
from homeserver import errors
from homeserver.errors import (
    Conflict,
    FoyerError,
    InvalidIdentifier,
    InvalidInput,
    LimitExceeded,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    TooLarge,
    Unavailable,
    Unusable,
)
from schema.documents.asyncapi import frame_type
from schema.wire.client_frames import CLIENT_FRAMES, parse_client_frame
from schema.wire.errors import ErrorBody, ErrorCode
from schema.wire.requests import Login, MessagePage, NewMessage, NewRoom
from schema.wire.server_frames import ErrorFrame

ROOM = "0b7c2f3e-9a4d-5c1e-8f60-1a2b3c4d5e6f"

TABLE = [
    (NotAuthenticated("Log in"), "UNAUTHENTICATED", 401),
    (NotAllowed("Not yours"), "FORBIDDEN", 403),
    (LimitExceeded("Too fast", retry_after_ms=1500), "RATE_LIMITED", 429),
    (InvalidInput("Not a number", field="limit"), "INVALID_INPUT", 400),
    (InvalidIdentifier("Not a user ID"), "INVALID_INPUT", 400),
    (TooLarge("Too long"), "TOO_LARGE", 413),
    (Conflict("Taken"), "CONFLICT", 409),
    (Unusable("Not like this"), "INVALID_INPUT", 400),
    (NotFound("Room not found", kind="room"), "INVALID_ROOM", 404),
    (NotFound("Message not found", kind="message"), "INVALID_MESSAGE", 404),
    (NotFound("User not found", kind="user"), "INVALID_USER", 404),
    (NotFound("Session not found", kind="session"), "NOT_FOUND", 404),
    (Unavailable("The database is away"), "UNAVAILABLE", 503),
    (KeyError("a defect"), "INTERNAL", 500),
    (TimeoutError(), "INTERNAL", 500),
]


def frame_error(raw: str | bytes) -> Problem:
    with pytest.raises(ValidationError) as refusal:
        parse_client_frame(raw)
    return frame_problem(refusal.value)


def body_error(model, body) -> FoyerError:
    with pytest.raises(ValidationError) as refusal:
        model.model_validate_json(body if isinstance(body, str) else json.dumps(body))
    return input_error(refusal.value)


class TestTheTable:
    @pytest.mark.parametrize(("error", "code", "status"), TABLE, ids=str)
    def test_each_error_has_its_code_and_status(self, error, code, status):
        problem = problem_of(error)
        assert (problem.code, problem.status) == (code, status)

    def test_every_error_of_the_server_has_an_answer_that_is_no_defect(self):
        told = {type(error) for error, *_ in TABLE}
        leaves = {
            kind
            for _, kind in inspect.getmembers(errors, inspect.isclass)
            if issubclass(kind, FoyerError) and not kind.__subclasses__()
        }
        untold = {kind for kind in leaves if not issubclass(kind, tuple(told))}
        assert not untold

    @pytest.mark.parametrize(("error", "code", "status"), TABLE, ids=str)
    def test_bodies_and_frames_are_as_documented(self, error, code, status):
        problem = problem_of(error, request_id="r1")
        ErrorBody.model_validate_json(json.dumps(problem.body()), extra="forbid")
        ErrorFrame.model_validate_json(json.dumps(problem.frame("mine")), extra="forbid")

    def test_the_seeds_error_is_rendered_as_the_seed_says(self):
        assert problem_of(NotFound("Room not found", kind="room")).frame() == {
            "type": "error",
            "code": "INVALID_ROOM",
            "message": "Room not found",
        }

    def test_a_defect_says_nothing_but_where_to_look(self):
        body = problem_of(KeyError("secret"), request_id="r1").body()
        assert "secret" not in str(body)
        assert "r1" in body["message"]

    def test_a_limit_says_when_to_try_again(self):
        problem = problem_of(LimitExceeded("Too fast", retry_after_ms=1500))
        assert problem.body()["retry_after_ms"] == 1500
        assert problem.headers() == {"Retry-After": "2"}

    def test_an_outage_says_when_to_try_again(self):
        assert problem_of(Unavailable("away")).headers() == {"Retry-After": "1"}

    def test_a_missing_token_names_the_scheme(self):
        assert problem_of(NotAuthenticated("no")).headers() == {"WWW-Authenticate": "Bearer"}


class TestBodies:
    @pytest.mark.parametrize(
        ("model", "body", "field", "sentence"),
        [
            (NewMessage, "{", "", "not JSON"),
            (NewMessage, "", "", "not JSON"),
            (NewMessage, "[]", "", "should be an object"),
            (NewMessage, {}, "content", "content is missing"),
            (NewMessage, {"content": " "}, "content", "content must not be blank"),
            (NewMessage, {"content": 5}, "content", "content should be a valid string"),
            (NewMessage, {"content": "a", "reply": 1}, "reply", "reply is not a field"),
            (NewMessage, {"content": "a", "attachments": [1]}, "attachments.0", "UUID"),
            (NewRoom, {"type": "group", "members": [7]}, "members.0", "UUID"),
            (NewRoom, {"type": "club"}, "type", "'direct', 'group' or 'channel'"),
            (Login, {"email": "a" * 256, "password": "b"}, "email", "at most 255 characters"),
        ],
    )
    def test_the_sentence_says_where_and_what(self, model, body, field, sentence):
        error = body_error(model, body)
        assert isinstance(error, InvalidInput)
        assert error.field == field
        assert sentence in str(error)

    def test_what_was_sent_is_not_repeated(self):
        error = body_error(Login, {"email": "a@example.com", "password": ["hunter2"]})
        assert "hunter2" not in str(error)

    def test_an_identifier_that_cannot_be_one_names_nothing(self):
        error = body_error(NewRoom, {"type": "group", "members": ["nobody"]})
        assert isinstance(error, NotFound)
        assert error.kind == "user"

    def test_what_is_malformed_comes_before_what_does_not_exist(self):
        error = body_error(NewMessage, {"content": " ", "reply_to": "nothing"})
        assert isinstance(error, InvalidInput)

    def test_queries_say_the_same(self):
        with pytest.raises(ValidationError) as refusal:
            MessagePage.model_validate({"limit": "201"})
        error = input_error(refusal.value, what="query")
        assert str(error) == "limit should be less than or equal to 200"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class TestWhatAnybodyMaySend:
    @given(body=JSON, model=st.sampled_from([NewMessage, NewRoom, Login]))
    def test_any_json_is_understood_or_refused_with_a_sentence(self, body, model):
        try:
            model.model_validate_json(json.dumps(body))
        except ValidationError as refusal:
            problem = problem_of(input_error(refusal))
            assert problem.status in {400, 404}
            ErrorBody.model_validate_json(orjson.dumps(problem.body()), extra="forbid")

    @given(frame=JSON, known=st.sampled_from(CLIENT_FRAMES))
    def test_any_frame_is_understood_or_refused_with_a_sentence(self, frame, known):
        if isinstance(frame, dict):
            frame["type"] = frame_type(known)
        try:
            parse_client_frame(json.dumps(frame))
        except ValidationError as refusal:
            problem = frame_problem(refusal)
            ErrorFrame.model_validate_json(orjson.dumps(problem.frame()), extra="forbid")

    def test_a_long_name_is_not_repeated_at_length(self):
        problem = problem_of(body_error(NewMessage, {"content": "a", "b" * 10_000: 1}))
        assert len(problem.message) + len(problem.field) < 300


class TestFrames:
    @pytest.mark.parametrize(
        "raw", ["", "{", "[]", "null", "{}", '{"no": "type"}', b"\xff", "[" * 999]
    )
    def test_what_is_no_frame_is_called_so(self, raw):
        assert frame_error(raw).code == "INVALID_FRAME"

    @pytest.mark.parametrize("name", ["message.sing", "", "MESSAGE.SEND", "x" * 500, 5])
    def test_an_unknown_type_is_called_so_and_not_repeated_at_length(self, name):
        problem = frame_error(json.dumps({"type": name}))
        assert problem.code is ErrorCode.UNKNOWN_FRAME
        assert len(problem.message) < 150

    def test_a_field_is_named_without_the_type_of_the_frame(self):
        problem = frame_error(json.dumps({"type": "message.send", "room_id": ROOM}))
        assert (problem.code, problem.field) == ("INVALID_INPUT", "content")
        assert problem.message == "content is missing"

    def test_a_room_that_cannot_be_one_is_not_found(self):
        frame = {"type": "message.send", "room_id": "uuid", "content": "Hello"}
        assert frame_error(json.dumps(frame)).frame() == {
            "type": "error",
            "code": "INVALID_ROOM",
            "message": "Room not found",
        }

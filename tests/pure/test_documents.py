"""The documents of the native protocol: valid, complete, and what the repository holds."""

import json
from pathlib import Path

import jsonschema_rs
import pytest
import schemathesis

from homeserver.documents import stale
from schema.documents import BEGIN, DOCUMENTS, END, json_text, with_reference
from schema.documents.asyncapi import asyncapi, frame_type
from schema.documents.openapi import errors_of, openapi
from schema.documents.reference import rest_reference, websocket_reference
from schema.operations import OPERATIONS
from schema.wire.client_frames import CLIENT_FRAMES
from schema.wire.errors import CloseCode, ErrorCode
from schema.wire.requests import NoBody
from schema.wire.server_frames import SERVER_FRAMES

ROOT = Path(__file__).parents[2]

SEED_OPERATIONS = {
    ("POST", "/api/auth/login"),
    ("GET", "/api/rooms"),
    ("POST", "/api/rooms"),
    ("GET", "/api/rooms/{room_id}"),
    ("PATCH", "/api/rooms/{room_id}"),
    ("DELETE", "/api/rooms/{room_id}"),
    ("GET", "/api/rooms/{room_id}/messages"),
    ("POST", "/api/rooms/{room_id}/messages"),
    ("DELETE", "/api/messages/{message_id}"),
    ("GET", "/api/users/{user_id}"),
    ("GET", "/api/users/search"),
    ("GET", "/api/presence/{user_id}"),
    ("POST", "/api/attachments"),
}


def references(document):
    """Every `$ref` in a document."""
    match document:
        case {"$ref": str(target)}:
            yield target
        case dict():
            for value in document.values():
                yield from references(value)
        case list():
            for value in document:
                yield from references(value)


def resolved(document, reference):
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document


class TestTheRepository:
    def test_the_documents_are_what_the_code_says(self):
        assert stale(ROOT) == {}

    def test_the_same_models_make_the_same_documents(self):
        assert json_text(openapi()) == json_text(openapi())
        assert json_text(asyncapi()) == json_text(asyncapi())

    def test_every_document_exists(self):
        assert all((ROOT / path).is_file() for path in DOCUMENTS)


class TestPages:
    def test_only_what_stands_between_the_markers_is_replaced(self):
        page = f"tour\n{BEGIN}\nold\n{END}\nrest\n"
        assert with_reference(page, "new") == f"tour\n{BEGIN}\n\nnew\n\n{END}\nrest\n"

    @pytest.mark.parametrize("page", ["", BEGIN, f"{END}{BEGIN}"])
    def test_a_page_without_markers_is_an_error(self, page):
        with pytest.raises(ValueError, match="markers"):
            with_reference(page, "new")

    def test_the_reference_names_every_operation_and_frame(self):
        rest, websocket = rest_reference(), websocket_reference()
        assert all(f"#### {each.method} {each.path}\n" in rest for each in OPERATIONS)
        frames = (*CLIENT_FRAMES, *SERVER_FRAMES)
        assert all(f"#### {frame_type(frame)}\n" in websocket for frame in frames)
        assert all(f"| {code.value} |" in websocket for code in CloseCode)
        assert all(f"| `{code.value}` |" in websocket for code in ErrorCode)

    @pytest.mark.parametrize("make", [rest_reference, websocket_reference])
    def test_links_lead_to_headings(self, make):
        text = make()
        headings = {
            line.lstrip("# ").lower().replace(" ", "-")
            for line in text.splitlines()
            if line.startswith("#")
        }
        links = {link.partition(")")[0] for link in text.split("](#")[1:]}
        assert links <= headings


class TestOpenAPI:
    document = json.loads(json_text(openapi()))

    def test_the_document_is_valid_openapi_3_1(self):
        schemathesis.openapi.from_dict(self.document).validate()

    def test_every_schema_is_valid_json_schema_2020_12(self):
        for schema in self.document["components"]["schemas"].values():
            jsonschema_rs.meta.validate(
                {**schema, "$schema": "https://json-schema.org/draft/2020-12/schema"}
            )

    def test_every_reference_leads_somewhere(self):
        assert all(resolved(self.document, target) for target in references(self.document))

    def test_it_has_every_endpoint_of_the_seed(self):
        described = {
            (method.upper(), path)
            for path, methods in self.document["paths"].items()
            for method in methods
        }
        assert described >= SEED_OPERATIONS

    @pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
    def test_path_parameters_are_those_of_the_path(self, operation):
        in_path = {part.strip("{}") for part in operation.path.split("/") if "{" in part}
        assert set(operation.params.model_fields) == in_path

    @pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
    def test_reading_and_deleting_take_no_body(self, operation):
        if operation.method in {"GET", "DELETE"}:
            assert operation.body is NoBody

    @pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
    def test_the_first_answer_is_the_usual_one(self, operation):
        assert operation.status == next(iter(operation.answers))

    def test_names_are_unique(self):
        assert len({each.name for each in OPERATIONS}) == len(OPERATIONS)

    def test_what_needs_a_token_may_answer_that_it_is_missing(self):
        for operation in OPERATIONS:
            if not operation.public:
                assert ErrorCode.UNAUTHENTICATED in errors_of(operation)


class TestAsyncAPI:
    document = json.loads(json_text(asyncapi()))

    def test_every_reference_leads_somewhere(self):
        assert all(resolved(self.document, target) for target in references(self.document))

    def test_it_has_what_asyncapi_3_asks_for(self):
        assert self.document["asyncapi"] == "3.0.0"
        assert {"title", "version"} <= self.document["info"].keys()
        for operation in self.document["operations"].values():
            assert operation["action"] in {"send", "receive"}
            assert operation["channel"] == {"$ref": "#/channels/ws"}

    def test_every_frame_is_sent_or_received_once(self):
        operations = self.document["operations"].values()
        told = [message["$ref"] for each in operations for message in each["messages"]]
        assert len(told) == len(set(told)) == len(CLIENT_FRAMES) + len(SERVER_FRAMES)

    def test_messages_of_operations_are_those_of_the_channel(self):
        """AsyncAPI 3.0, Operation Object: a subset of the messages of its channel."""
        begin = "#/channels/ws/messages/"
        for operation in self.document["operations"].values():
            assert all(each["$ref"].startswith(begin) for each in operation["messages"])

"""The reference sections of docs/REST_API.md and docs/WEBSOCKET_API.md, as Markdown."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from pydantic import BaseModel

from schema.documents.asyncapi import frame_type
from schema.documents.schemas import Schema, component_schemas, fields_of, model_of, sentence
from schema.operations import ALL_OPERATIONS, Operation
from schema.wire.client_frames import CLIENT_FRAMES
from schema.wire.errors import CloseCode, ErrorBody, ErrorCode
from schema.wire.requests import NoBody
from schema.wire.server_frames import SERVER_FRAMES

_AnyOperation = Operation[Any, Any, Any]
_ONLY_FRAMES = frozenset(
    {
        ErrorCode.INVALID_FRAME,
        ErrorCode.UNKNOWN_FRAME,
        ErrorCode.CURSOR_TOO_OLD,
        ErrorCode.TOO_MANY_CONNECTIONS,
    }
)


def rest_reference() -> str:
    """Every operation, then the objects that bodies are made of, then the errors."""
    bodies = [each.body for each in ALL_OPERATIONS if each.body is not NoBody]
    return "\n".join(
        [
            *_operations(),
            "### Objects",
            "",
            *_objects([*_answer_models(), *bodies], {each.__name__ for each in bodies}),
            "### Error codes",
            "",
            *_error_codes(code for code in ErrorCode if code not in _ONLY_FRAMES),
        ]
    )


def websocket_reference() -> str:
    """Every frame, then the objects that frames are made of, the errors, the close codes."""
    frames = {*CLIENT_FRAMES, *SERVER_FRAMES}
    return "\n".join(
        [
            "### Frames of clients",
            "",
            *_frames(CLIENT_FRAMES),
            "### Frames of the server",
            "",
            *_frames(SERVER_FRAMES),
            "### Objects",
            "",
            *_objects(frames, without={model.__name__ for model in frames}),
            "### Error codes",
            "",
            *_error_codes(ErrorCode),
            "",
            "### Close codes",
            "",
            *_table(("code", "reason"), ((str(code.value), code.meaning) for code in CloseCode)),
        ]
    )


def _operations() -> Iterator[str]:
    for tag, group in groupby(ALL_OPERATIONS, key=lambda operation: operation.tag):
        yield from (f"### {tag}", "")
        for operation in group:
            yield from _operation(operation)


def _operation(operation: _AnyOperation) -> Iterator[str]:
    yield from (f"#### {operation.method} {operation.path}", "", operation.summary, "")
    if operation.public:
        yield from ("Works without an access token.", "")
    yield from _titled_fields("Query", operation.query)
    if operation.body is not NoBody:
        yield from _titled_fields("Body", operation.body)
    for status, answer in operation.answers.items():
        yield f"- {status}: {_answer_words(answer)}"
    for code in operation.errors:
        yield f"- {code.status}: `{code.value}`"
    yield ""


def _titled_fields(title: str, model: type[BaseModel]) -> Iterator[str]:
    if model.model_fields:
        yield from (f"{title}:", "", *_fields(*fields_of(model)), "")


def _answer_words(answer: Any) -> str:
    if answer is None:
        return "no body"
    if answer is bytes:
        return "the file"
    name = _link(model_of(answer).__name__)
    return name if isinstance(answer, type) and answer is model_of(answer) else f"list of {name}"


def _answer_models() -> Iterator[type[BaseModel]]:
    yield ErrorBody
    for operation in ALL_OPERATIONS:
        for answer in operation.answers.values():
            if answer is not None and answer is not bytes:
                yield model_of(answer)


def _objects(models: Iterable[type[BaseModel]], without: Iterable[str] = ()) -> Iterator[str]:
    schemas = component_schemas(dict.fromkeys(models))
    for name, schema in schemas.items():
        if name not in without and schema.get("type") == "object":
            yield from (f"#### {name}", "", " ".join(schema["description"].split()), "")
            if schema.get("properties"):
                yield from (*_fields(schema["properties"], schema.get("required", ())), "")


def _frames(models: Iterable[type[BaseModel]]) -> Iterator[str]:
    for model in models:
        fields, required = fields_of(model)
        others = {name: schema for name, schema in fields.items() if name != "type"}
        yield from (f"#### {frame_type(model)}", "", sentence(model), "")
        if others:
            yield from (*_fields(others, required), "")


def _fields(fields: Mapping[str, Schema], required: Iterable[str]) -> Iterator[str]:
    must = frozenset(required)
    rows = (
        (f"`{name}`", _words(schema, optional=name not in must), schema.get("description", ""))
        for name, schema in fields.items()
    )
    return _table(("field", "value", "meaning"), rows)


def _words(schema: Schema, *, optional: bool) -> str:
    """`string, at most 64 characters; optional`."""
    words = _kind(schema)
    if "default" in schema:
        return f"{words}; default `{str(schema['default']).lower()}`"
    return f"{words}; optional" if optional else words


def _kind(schema: Schema) -> str:
    match schema:
        case {"$ref": str(name)}:
            return _link(name.rpartition("/")[2])
        case {"anyOf": list(options)}:
            return " or ".join(_kind(option) for option in options)
        case {"const": value}:
            return f"`{value}`"
        case {"enum": list(values)}:
            return ", ".join(f"`{value}`" for value in values)
        case _:
            return ", ".join((_basic_kind(schema), *_limits(schema)))


def _basic_kind(schema: Schema) -> str:
    match schema:
        case {"type": "array", "maxItems": 0}:
            return "empty list"
        case {"type": "array", "items": dict(item)}:
            return f"list of {_kind(item)}"
        case {"type": "object", "additionalProperties": dict(inner)} if inner:
            return f"object of {_kind(inner)}"
        case _:
            return str(schema.get("format", schema.get("type", "anything")))


_LIMITS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "minimum": "at least {}",
    "maximum": "at most {}",
}


def _limits(schema: Schema) -> Iterator[str]:
    for keyword, words in _LIMITS.items():
        if schema.get(keyword):
            yield words.format(schema[keyword]).replace("at least 1 characters", "not empty")


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})" if name != "ErrorCode" else "[error code](#error-codes)"


def _error_codes(codes: Iterable[ErrorCode]) -> Iterator[str]:
    rows = ((f"`{code.value}`", str(code.status), code.meaning) for code in codes)
    return _table(("code", "status", "meaning"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"

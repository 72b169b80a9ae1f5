"""The OpenAPI 3.1 document of the REST interface, made from `schema.operations`."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from pydantic import BaseModel

from schema.documents.schemas import (
    Schema,
    component_schemas,
    fields_of,
    model_of,
    reference,
    sentence,
)
from schema.operations import ALL_OPERATIONS, Operation
from schema.wire.errors import ErrorBody, ErrorCode
from schema.wire.requests import NoBody

API_VERSION = "1.0.0"

_AnyOperation = Operation[Any, Any, Any]

_BYTES = {"type": "string", "format": "binary"}
_FILE: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"file": _BYTES}, "required": ["file"]}
        },
        "*/*": {"schema": _BYTES},
    },
}

_HEADERS_OF_STATUS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "`Bearer`", "schema": {"type": "string"}}},
    429: {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}},
    503: {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}},
}


def openapi() -> dict[str, Any]:
    """The document. The same models give the same document, byte for byte."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Foyer REST API",
            "version": API_VERSION,
            "summary": "The native protocol of Foyer over HTTP.",
            "description": "docs/REST_API.md explains it; docs/WEBSOCKET_API.md has the frames.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [{"name": tag} for tag in _tags()],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
            "responses": _shared_responses(),
            "schemas": component_schemas([*_models(), ErrorBody]),
        },
    }


def errors_of(operation: _AnyOperation) -> list[ErrorCode]:
    """Every code that an operation may answer with, by status."""
    codes = {*operation.errors, *_common_errors(operation)}
    return sorted(codes, key=lambda code: (code.status, code.value))


def _common_errors(operation: _AnyOperation) -> Iterator[ErrorCode]:
    yield from (ErrorCode.RATE_LIMITED, ErrorCode.UNAVAILABLE, ErrorCode.INTERNAL)
    if not operation.public:
        yield ErrorCode.UNAUTHENTICATED
    if operation.body is not NoBody or operation.query.model_fields:
        yield ErrorCode.INVALID_INPUT
    if operation.body is not NoBody:
        yield ErrorCode.TOO_LARGE


def _tags() -> list[str]:
    return list(dict.fromkeys(operation.tag for operation in ALL_OPERATIONS))


def _models() -> Iterator[type[BaseModel]]:
    for operation in ALL_OPERATIONS:
        if operation.body is not NoBody:
            yield operation.body
        for answer in operation.answers.values():
            if answer is not None and answer is not bytes:
                yield model_of(answer)


def _paths() -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for operation in ALL_OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return paths


def _operation(operation: _AnyOperation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    parameters = [
        *_parameters(operation.params, "path"),
        *_parameters(operation.query, "query"),
    ]
    if parameters:
        described["parameters"] = parameters
    if operation.takes_file:
        described["requestBody"] = _FILE
    elif operation.body is not NoBody:
        described["requestBody"] = _request_body(operation.body)
    if operation.public:
        described["security"] = []
    described["responses"] = _responses(operation)
    return described


def _parameters(model: type[BaseModel], place: str) -> Iterator[dict[str, Any]]:
    fields, required = fields_of(model)
    for name, schema in fields.items():
        description = schema.pop("description", "")
        parameter: dict[str, Any] = {
            "name": name,
            "in": place,
            "required": name in required,
            "schema": _present(schema),
        }
        yield {**parameter, "description": description} if description else parameter


def _present(schema: Schema) -> Schema:
    """What a parameter is when it is there: a query string has no null."""
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    return options[0] if len(options) == 1 else schema


def _request_body(model: type[BaseModel]) -> dict[str, Any]:
    _, required = fields_of(model)
    return {
        "required": bool(required),
        "content": {"application/json": {"schema": reference(model)}},
    }


def _responses(operation: _AnyOperation) -> dict[str, Any]:
    answers = {
        str(status): _success(status, answer) for status, answer in operation.answers.items()
    }
    return {**answers, **_error_responses(errors_of(operation))}


def _success(status: int, answer: Any) -> dict[str, Any]:
    if answer is None:
        return {"description": "Done."}
    if answer is bytes:
        return {"description": "The file.", "content": {"*/*": {"schema": _BYTES}}}
    description = sentence(model_of(answer)) if status == 200 else "Made."  # noqa: PLR2004
    return {
        "description": description,
        "content": {"application/json": {"schema": reference(answer)}},
    }


def _error_responses(codes: Iterable[ErrorCode]) -> dict[str, Any]:
    return {
        str(status): {"$ref": f"#/components/responses/{_response_name(group)}"}
        for status, group in _by_status(codes)
    }


def _shared_responses() -> dict[str, Any]:
    """The error responses of all operations, each once."""
    groups = {
        _response_name(group): _error_response(status, group)
        for operation in ALL_OPERATIONS
        for status, group in _by_status(errors_of(operation))
    }
    return dict(sorted(groups.items()))


def _by_status(codes: Iterable[ErrorCode]) -> Iterator[tuple[int, list[ErrorCode]]]:
    for status, group in groupby(codes, key=lambda code: code.status):
        yield status, list(group)


def _response_name(codes: Iterable[ErrorCode]) -> str:
    return ".".join(code.value for code in codes)


def _error_response(status: int, codes: Iterable[ErrorCode]) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": " ".join(f"`{code.value}`: {code.meaning}" for code in codes),
        "content": {"application/json": {"schema": reference(ErrorBody)}},
    }
    if status in _HEADERS_OF_STATUS:
        response["headers"] = _HEADERS_OF_STATUS[status]
    return response

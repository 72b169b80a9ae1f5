"""The AsyncAPI 3.0 document of the WebSocket, made from the models of the frames."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from schema.documents.openapi import API_VERSION
from schema.documents.schemas import component_schemas, reference, sentence
from schema.wire.client_frames import CLIENT_FRAMES, WRITES, Ping
from schema.wire.errors import CloseCode
from schema.wire.server_frames import SERVER_FRAMES, Ack, ErrorFrame, MessageSent, Pong

_CHANNEL = {"$ref": "#/channels/ws"}
_TELLS = tuple(frame for frame in CLIENT_FRAMES if frame not in (*WRITES, Ping))


def frame_type(model: type[BaseModel]) -> str:
    """What a frame has in `type`."""
    name: str = model.model_fields["type"].annotation.__args__[0]  # type: ignore[union-attr]
    return name


def asyncapi() -> dict[str, Any]:
    """The document. The same models give the same document, byte for byte."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Foyer WebSocket API",
            "version": API_VERSION,
            "description": _description(),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"foyer": _server()},
        "channels": {"ws": _channel()},
        "operations": _operations(),
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
            "messages": {
                model.__name__: _message(model) for model in (*CLIENT_FRAMES, *SERVER_FRAMES)
            },
            "schemas": component_schemas([*CLIENT_FRAMES, *SERVER_FRAMES]),
        },
    }


def _description() -> str:
    reasons = "\n".join(f"- {code.value}: {code.meaning}" for code in CloseCode)
    return (
        "The native protocol of Foyer over WebSocket; docs/WEBSOCKET_API.md explains it.\n\n"
        f"The server closes a connection with one of these codes:\n\n{reasons}"
    )


def _server() -> dict[str, Any]:
    return {
        "host": "localhost:8081",
        "protocol": "ws",
        "description": "Where a server listens unless it is told otherwise.",
        "security": [{"$ref": "#/components/securitySchemes/bearer"}],
    }


def _channel() -> dict[str, Any]:
    query = {
        "cursor": "Resume after the frame with this cursor; `now` asks for the current one.",
        "ticket": "From POST /api/ws/ticket, instead of the Authorization header.",
    }
    properties = {
        name: {"type": "string", "description": meaning} for name, meaning in query.items()
    }
    return {
        "address": "/ws",
        "messages": {
            model.__name__: {"$ref": f"#/components/messages/{model.__name__}"}
            for model in (*CLIENT_FRAMES, *SERVER_FRAMES)
        },
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {"type": "object", "properties": properties},
                "bindingVersion": "0.1.0",
            }
        },
    }


def _operations() -> dict[str, Any]:
    """From the server's point of view: it receives what clients send."""
    return {
        "write": _received("Change something.", WRITES, (MessageSent, ErrorFrame)),
        "tell": _received(
            "Tell others. The answer comes only to a frame with `ref`.", _TELLS, (Ack, ErrorFrame)
        ),
        "ping": _received("See whether the server is there.", (Ping,), (Pong,)),
        "hear": {
            "action": "send",
            "channel": _CHANNEL,
            "summary": "What the server sends.",
            "messages": _in_channel(SERVER_FRAMES),
        },
    }


def _received(
    summary: str, frames: Iterable[type[BaseModel]], answers: Iterable[type[BaseModel]]
) -> dict[str, Any]:
    return {
        "action": "receive",
        "channel": _CHANNEL,
        "summary": summary,
        "messages": _in_channel(frames),
        "reply": {"channel": _CHANNEL, "messages": _in_channel(answers)},
    }


def _in_channel(models: Iterable[type[BaseModel]]) -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/ws/messages/{model.__name__}"} for model in models]


def _message(model: type[BaseModel]) -> dict[str, Any]:
    return {
        "name": frame_type(model),
        "title": frame_type(model),
        "summary": sentence(model),
        "payload": reference(model),
    }

"""The documents of the native protocol, made from `schema.operations` and `schema.wire`.

`make docs` writes them (`homeserver.documents`), `make check` says whether one is stale.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import orjson

from schema.documents.asyncapi import asyncapi
from schema.documents.openapi import openapi
from schema.documents.reference import rest_reference, websocket_reference

BEGIN = "<!-- reference: made by `make docs`; do not edit below -->"
END = "<!-- end of the reference -->"


def json_text(document: Mapping[str, Any]) -> str:
    """As it stands in docs/: readable, and the same for the same document."""
    return f"{orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()}\n"


def with_reference(page: str, reference: str) -> str:
    """A page whose section between the markers is the reference. Raises ValueError without them."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no markers for the reference")
    return f"{head}{BEGIN}\n\n{reference.strip()}\n\n{END}{tail}"


DOCUMENTS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "docs/openapi.json": lambda _: json_text(openapi()),
        "docs/asyncapi.json": lambda _: json_text(asyncapi()),
        "docs/REST_API.md": lambda page: with_reference(page, rest_reference()),
        "docs/WEBSOCKET_API.md": lambda page: with_reference(page, websocket_reference()),
    }
)
"""Path from the root of the repository, and what makes the new text from the old."""

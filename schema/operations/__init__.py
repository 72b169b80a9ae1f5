"""The REST operations: what each is called, takes and answers.

The router of the native façade and the OpenAPI document are both made from `OPERATIONS`, so they
cannot differ.
"""

from typing import Any

from schema.operations import accounts, members, messages, people, rooms
from schema.operations.operation import Operation

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    *accounts.OPERATIONS,
    *rooms.OPERATIONS,
    *members.OPERATIONS,
    *messages.OPERATIONS,
    *people.OPERATIONS,
)

__all__ = ["OPERATIONS", "Operation"]

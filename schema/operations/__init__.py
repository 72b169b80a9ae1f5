"""The REST operations: what each is called, takes and answers.

The router of the native façade and the OpenAPI document are both made from these tables, so they
cannot differ.
"""

from typing import Any

from schema.operations import (
    accounts,
    attachments,
    encryption,
    members,
    messages,
    people,
    rooms,
)
from schema.operations.operation import Operation

OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (
    *accounts.OPERATIONS,
    *rooms.OPERATIONS,
    *members.OPERATIONS,
    *messages.OPERATIONS,
    *people.OPERATIONS,
    *encryption.OPERATIONS,
)
"""What the native façade serves."""

ALL_OPERATIONS: tuple[Operation[Any, Any, Any], ...] = (*OPERATIONS, *attachments.OPERATIONS)
"""And what the media repository serves, which may be another process."""

__all__ = ["ALL_OPERATIONS", "OPERATIONS", "Operation"]

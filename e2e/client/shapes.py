"""JSON from outside, whose shape nobody promises."""

from typing import Any


def members(value: Any) -> dict[str, Any]:
    """The object; an empty one for what is none."""
    return value if isinstance(value, dict) else {}


def texts(value: Any) -> list[str]:
    """The strings of an array; none of what is no array."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

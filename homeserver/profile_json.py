"""Profiles as the Matrix API shows them."""

from collections.abc import Mapping
from typing import Any

import orjson

NAME = "displayname"
AVATAR = "avatar_url"


def profile_json(
    display_name: str | None, avatar_url: str | None, fields: Mapping[str, bytes]
) -> dict[str, Any]:
    """fields: JSON by key. A picture that is not in a media repository is for native clients."""
    profile: dict[str, Any] = {key: orjson.loads(value) for key, value in fields.items()}
    if display_name:
        profile[NAME] = display_name
    if avatar_url is not None and avatar_url.startswith("mxc://"):
        profile[AVATAR] = avatar_url
    return profile

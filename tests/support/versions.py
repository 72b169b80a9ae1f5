"""Room versions to run a test with."""

import pytest

from homeserver.events.room_version import ROOM_VERSIONS, RoomVersion

ALL = tuple(ROOM_VERSIONS.values())


def versions(first: int = 1, last: int = 12) -> pytest.MarkDecorator:
    """The test takes a `version`, and runs with each from first to last."""
    return pytest.mark.parametrize("version", ALL[first - 1 : last], ids=_name)


def _name(version: RoomVersion) -> str:
    return f"v{version.name}"

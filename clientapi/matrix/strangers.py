"""What those who are not in a room learn of it: nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

from clientapi.matrix.errors import MatrixError
from homeserver.errors import NotFound


@contextmanager
def members_only() -> Iterator[None]:
    """Around what only members of a room may do: a room that is not here is one that the caller is
    not in. Raises M_FORBIDDEN.
    """
    try:
        yield
    except NotFound as error:
        if error.kind == "room":
            raise MatrixError(403, "M_FORBIDDEN", "You are not in this room.") from None
        raise

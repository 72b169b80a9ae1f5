"""Taking over a cluster: whatever still runs on it is stopped first, never joined by a second."""

import asyncio
import os
import signal
from contextlib import suppress

import structlog

from homeserver.storage.embedded.cluster import Cluster
from homeserver.storage.embedded.failure import EmbeddedPostgresError

_POLL_S = 0.02
# The last processes of a killed server end by themselves, and tools try the lock for an instant.
_UNASKED_S = 0.5
_CRASH_STOP_S = 10.0
_KILLED_S = 5.0
_UNSEEN_S = 5.0

log = structlog.get_logger(__name__)


async def claim(cluster: Cluster, *, grace_s: float) -> int:
    """The cluster's lock, as an open file, once nothing runs on the cluster.

    A server that runs is asked to shut down, after the grace to stop at once (the next start then
    recovers), and at last killed. Raises EmbeddedPostgresError when even that does not help: then
    it runs where this process cannot reach it.
    """
    lock = await _lock_within(cluster, _UNASKED_S)
    if lock is not None:
        return lock
    log.warning("another Postgres still runs on the database and is stopped first")
    attempts = (
        (signal.SIGINT, grace_s),
        (signal.SIGQUIT, _CRASH_STOP_S),
        (signal.SIGKILL, _KILLED_S),
    )
    for number, patience_s in attempts:
        told = await asyncio.to_thread(_tell, cluster, number)
        lock = await _lock_within(cluster, patience_s if told else _UNSEEN_S)
        if lock is not None:
            return lock
    raise EmbeddedPostgresError(
        f"Another Postgres uses {cluster.path} and could not be stopped from here; perhaps it runs "
        "in another container: stop it, then start Foyer again."
    )


async def until_free(cluster: Cluster) -> None:
    """Wait for the last process: the one that writes the log ends after its server."""
    lock = await _lock_within(cluster, _UNSEEN_S)
    if lock is not None:
        os.close(lock)


async def _lock_within(cluster: Cluster, patience_s: float) -> int | None:
    with suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            while (lock := cluster.try_lock()) is None:  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)
            return lock
    return None


def _tell(cluster: Cluster, number: signal.Signals) -> bool:
    """Tell the postmaster, or, without one or to kill, all of its processes; whether there are any.

    Source: PostgreSQL 18, "Shutting Down the Server".
    """
    postmaster = cluster.postmaster()
    if postmaster is not None and number != signal.SIGKILL:
        _signal(postmaster, number)
        return True
    processes = cluster.processes()
    for pid in processes:
        _signal(pid, signal.SIGKILL if number == signal.SIGKILL else signal.SIGQUIT)
    return bool(processes)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)

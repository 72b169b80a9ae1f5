"""What a machine knows: records in memory, and the changes of the step that runs.

A step reads and puts records. If it fails, `rollback` forgets what it has put; records are values,
so nothing else has changed. If it succeeds, the changes are stored in one transaction, and only
then does `commit` make them what is known.

Most kinds are in memory whole. Those that grow with the number of messages are fetched when they
are needed: reading one that is not there raises NotLoaded, and whoever runs the step fetches it and
runs the step again.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from pydantic import TypeAdapter

MAX_FETCHED = 4_000
"""Records of the kinds that are fetched which stay in memory after a step."""


class Record(Protocol):
    """A frozen dataclass of JSON values. KIND: what its rows are called in the store."""

    KIND: ClassVar[str]


R = TypeVar("R", bound=Record)


class Key(NamedTuple):
    kind: str
    name: str


Changes = Mapping[Key, bytes | None]
"""Rows to write; None deletes."""


class NotLoaded(Exception):
    """The step needs rows that are not in memory."""

    def __init__(self, keys: Collection[Key]) -> None:
        super().__init__(f"{len(keys)} records are not loaded")
        self.keys = frozenset(keys)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _encoded(record: Any) -> bytes:
    kind: Any = type(record)
    return _adapter(kind).dump_json(record)


class Vault:
    """rows: all rows of the kinds that are in memory whole. fetched: the other kinds."""

    def __init__(self, rows: Mapping[Key, bytes], *, fetched: Collection[str] = ()) -> None:
        self._fetched_kinds = frozenset(fetched)
        self._rows = dict(rows)
        self._known: dict[Key, Any] = {}
        self._fetched: dict[Key, Any] = {}
        self._pending: dict[Key, Any] = {}

    def get(self, kind: type[R], name: str) -> R | None:
        """The record as this step sees it. Raises NotLoaded."""
        key = Key(kind.KIND, name)
        for records in (self._pending, self._known, self._fetched):
            if key in records:
                found: R | None = records[key]
                return found
        return self._read(kind, key)

    def need(self, kind: type[R], names: Collection[str]) -> None:
        """Fetches many at once. Raises NotLoaded with all that are missing."""
        keys = [Key(kind.KIND, name) for name in names]
        missing = [key for key in keys if not self._is_here(key)]
        if missing:
            raise NotLoaded(missing)

    def put(self, name: str, record: Record) -> None:
        self._pending[Key(record.KIND, name)] = record

    def delete(self, kind: type[Record], name: str) -> None:
        self._pending[Key(kind.KIND, name)] = None

    def all(self, kind: type[R]) -> Iterator[tuple[str, R]]:
        """Names and records of a kind that is in memory whole, in order of their names."""
        keys = {key for key in (*self._rows, *self._known) if key.kind == kind.KIND}
        keys |= {key for key in self._pending if key.kind == kind.KIND}
        for key in sorted(keys):
            record = self.get(kind, key.name)
            if record is not None:
                yield key.name, record

    def changes(self) -> Changes:
        """What the step changed, as rows."""
        return {
            key: None if record is None else _encoded(record)
            for key, record in self._pending.items()
        }

    def commit(self) -> None:
        """The changes are stored."""
        for key, record in self._pending.items():
            self._keep(key, record)
        self._pending.clear()
        if len(self._fetched) > MAX_FETCHED:
            self._fetched.clear()

    def rollback(self) -> None:
        self._pending.clear()

    def learn(self, rows: Mapping[Key, bytes | None]) -> None:
        """Rows that a step needed; None where the store has none."""
        for key, row in rows.items():
            if row is None:
                self._fetched[key] = None
            else:
                self._rows[key] = row

    def _is_here(self, key: Key) -> bool:
        if key.kind not in self._fetched_kinds:
            return True
        return any(key in rows for rows in (self._pending, self._fetched, self._rows))

    def _read(self, kind: type[R], key: Key) -> R | None:
        if not self._is_here(key):
            raise NotLoaded([key])
        row = self._rows.pop(key, None)
        record = None if row is None else _adapter(kind).validate_json(row)
        if record is not None:
            self._place(key)[key] = record
        return record

    def _place(self, key: Key) -> dict[Key, Any]:
        return self._fetched if key.kind in self._fetched_kinds else self._known

    def _keep(self, key: Key, record: Any) -> None:
        self._rows.pop(key, None)
        place = self._place(key)
        if record is None and place is self._known:
            place.pop(key, None)
        else:
            place[key] = record

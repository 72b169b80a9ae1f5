"""Small files that were served lately, in memory: everybody in a room asks for the same avatars."""

from collections import OrderedDict

LARGEST_BYTES = 32_768
_MOST_BYTES = 4_194_304


class SmallFiles:
    """By hash, so nothing in it can be out of date; those that nobody asks for go first."""

    def __init__(self, *, max_bytes: int = _MOST_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._files: OrderedDict[bytes, bytes] = OrderedDict()

    def get(self, sha256: bytes) -> bytes | None:
        data = self._files.get(sha256)
        if data is not None:
            self._files.move_to_end(sha256)
        return data

    def put(self, sha256: bytes, data: bytes) -> None:
        """Keeps a file that is small enough."""
        if len(data) > LARGEST_BYTES or sha256 in self._files:
            return
        self._files[sha256] = data
        self._bytes += len(data)
        while self._bytes > self._max_bytes:
            _, gone = self._files.popitem(last=False)
            self._bytes -= len(gone)

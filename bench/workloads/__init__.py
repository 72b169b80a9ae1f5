"""What can be measured, by name."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from bench.figures import Figure
from bench.lab import Lab
from bench.workloads import (
    big_room,
    closed,
    encrypted,
    fanout,
    idle,
    media,
    media_memory,
    one_room,
    storage,
)

Workload = Callable[[Lab], Awaitable[list[Figure]]]

WORKLOADS: Mapping[str, Workload] = MappingProxyType(
    {
        "fanout": fanout.measure,
        "closed-ws": closed.measure_websocket,
        "closed-rest": closed.measure_rest,
        "one-room": one_room.measure,
        "idle": idle.measure,
        "storage": storage.measure,
        "big-room": big_room.measure,
        "media-thumbnails": media.measure,
        "encrypted-rooms": encrypted.measure,
        "media-memory": media_memory.measure,
    }
)

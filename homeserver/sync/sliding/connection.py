"""What a connection has been told: the state that a position stands for. Pure.

A position is a version of this state and a token with one position a stream. Rooms that are *live*
were told up to the token, so the state changes only when rooms come into the window or leave it, or
when wishes change; most answers leave it as it is, and nothing has to be written.
Source: MSC4186 "Connections", "Room results", "Changing room configs".
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from homeserver.sync.sliding.room_config import RequiredState, RoomConfig, StatePattern

MAX_ROOMS = 20_000
"""Rooms that one connection can have been told; one with more starts afresh."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a connection knows of a room. upto: position in the stream of events; None: live."""

    config: RoomConfig
    upto: int | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """By room number. Version 0 is that of everybody who was told nothing."""

    version: int = 0
    rooms: Mapping[int, Told] = field(default_factory=dict)

    def after(
        self, wanted: Mapping[int, RoomConfig], *, since: int, first_version: int
    ) -> "Connection":
        """The state when an answer has told all that is wanted.

        since: position in the stream of events up to which live rooms were told before.
        first_version: of the state after none, so that connections that have the same name one
        after the other have no version in common.
        """
        rooms = {
            nid: told if told.upto is not None else replace(told, upto=since)
            for nid, told in self.rooms.items()
            if nid not in wanted
        }
        rooms |= {nid: Told(config) for nid, config in wanted.items()}
        if rooms == self.rooms:
            return self
        return Connection(self.version + 1 if self.version else first_version, rooms)


def to_json(connection: Connection) -> dict[str, Any]:
    """For storage. Rooms with the same wish share it."""
    configs: list[RoomConfig] = list(
        dict.fromkeys(told.config for told in connection.rooms.values())
    )
    index = {config: place for place, config in enumerate(configs)}
    return {
        "configs": [asdict(config) for config in configs],
        "rooms": [
            [room_nid, index[told.config], told.upto] for room_nid, told in connection.rooms.items()
        ],
    }


def from_json(version: int, stored: Mapping[str, Any]) -> Connection:
    configs = [_config(each) for each in stored["configs"]]
    rooms = {nid: Told(configs[place], upto) for nid, place, upto in stored["rooms"]}
    return Connection(version, rooms)


def _config(stored: Mapping[str, Any]) -> RoomConfig:
    return RoomConfig(
        timeline_limit=stored["timeline_limit"],
        required=tuple(
            RequiredState(_patterns(each["include"]), _patterns(each["exclude"]))
            for each in stored["required"]
        ),
        lazy_members=stored["lazy_members"],
    )


def _patterns(stored: Sequence[Mapping[str, Any]]) -> tuple[StatePattern, ...]:
    return tuple(StatePattern(each["type"], each["state_key"]) for each in stored)

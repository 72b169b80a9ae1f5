"""What a client wants of a room, and how several wishes for one room are combined. Pure.

Source: MSC4186 "Combining room configs", "Changing room configs", "Lazy loaded memberships".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homeserver.identifiers import StateKey, UserID

MEMBER_TYPE = "m.room.member"


@dataclass(frozen=True, slots=True)
class StatePattern:
    """Matches state entries; None matches every type, or every state key."""

    type: str | None
    state_key: str | None

    def matches(self, key: StateKey) -> bool:
        return self.type in (None, key[0]) and self.state_key in (None, key[1])

    def covers(self, other: "StatePattern") -> bool:
        """Whether it matches everything that the other does."""
        return self.type in (None, other.type) and self.state_key in (None, other.state_key)


@dataclass(frozen=True, slots=True)
class RequiredState:
    """State entries that a client wants: what one of the patterns includes and none excludes."""

    include: tuple[StatePattern, ...] = ()
    exclude: tuple[StatePattern, ...] = ()

    def matches(self, key: StateKey) -> bool:
        return any(each.matches(key) for each in self.include) and not any(
            each.matches(key) for each in self.exclude
        )


@dataclass(frozen=True, slots=True)
class RoomConfig:
    """The wish for a room. required: an entry that one of them matches is wanted."""

    timeline_limit: int
    required: tuple[RequiredState, ...] = ()
    lazy_members: bool = False

    def wants(self, key: StateKey) -> bool:
        return any(each.matches(key) for each in self.required)

    def wants_type(self, event_type: str) -> bool:
        """Whether some entry of this type may be wanted."""
        return any(
            pattern.type in (None, event_type) for each in self.required for pattern in each.include
        )

    def patterns(self) -> list[StatePattern]:
        """Without those that others cover; what storage has to look for."""
        wanted = dict.fromkeys(pattern for each in self.required for pattern in each.include)
        return [
            pattern
            for pattern in wanted
            if not any(other != pattern and other.covers(pattern) for other in wanted)
        ]

    def goes_beyond(self, other: "RoomConfig") -> bool:
        """Whether it may want state that the other does not."""
        return (self.lazy_members and not other.lazy_members) or any(
            each not in other.required for each in self.required
        )


def combined(configs: Sequence[RoomConfig]) -> RoomConfig:
    """The superset of the wishes; there is at least one."""
    if len(configs) == 1:
        return configs[0]
    return RoomConfig(
        timeline_limit=max(each.timeline_limit for each in configs),
        required=tuple(dict.fromkeys(required for each in configs for required in each.required)),
        lazy_members=any(each.lazy_members for each in configs),
    )


def pattern_from_pair(event_type: str, state_key: str, me: UserID) -> StatePattern | None:
    """`["m.room.member", "$ME"]`, as clients wrote it before the proposal was accepted.

    None: `$LAZY`, which is the flag of today.
    """
    if state_key == "$LAZY":
        return None
    key = me if state_key == "$ME" else state_key
    return StatePattern(
        None if event_type == "*" else event_type, None if state_key == "*" else key
    )


def of_pairs(pairs: Iterable[tuple[str, str]], timeline_limit: int, me: UserID) -> RoomConfig:
    """The wish, as clients wrote it before the proposal was accepted."""
    found = [(pair, pattern_from_pair(*pair, me)) for pair in pairs]
    include = tuple(pattern for _, pattern in found if pattern is not None)
    everything = StatePattern(None, None) in include
    # Where all state is asked for and members lazily, members are only those who are needed.
    lazy = any(pair == (MEMBER_TYPE, "$LAZY") for pair, _ in found)
    return RoomConfig(
        timeline_limit=timeline_limit,
        required=_without_members(include) if lazy and everything else (RequiredState(include),),
        lazy_members=lazy,
    )


def _without_members(include: tuple[StatePattern, ...]) -> tuple[RequiredState, ...]:
    named = tuple(each for each in include if each.type == MEMBER_TYPE and each.state_key)
    exclude = (StatePattern(MEMBER_TYPE, None),)
    general = RequiredState(tuple(each for each in include if each not in named), exclude)
    return (general, RequiredState(named)) if named else (general,)

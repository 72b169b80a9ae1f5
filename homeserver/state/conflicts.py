"""Where the state sets agree and where they differ."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.identifiers import EventID, StateKey
from homeserver.state.state_map import StateMap


@dataclass(frozen=True, slots=True)
class Conflicts:
    """Source: room v2 state resolution, "Unconflicted state map and conflicted state set"."""

    unconflicted: dict[StateKey, EventID]
    conflicted: frozenset[EventID]


def find_conflicts(state_sets: Sequence[StateMap]) -> Conflicts:
    """Unconflicted is what every state set has, and has alike; all other entries conflict.

    state_sets: at least one; order is irrelevant.
    """
    entries = [state.items() for state in state_sets]
    shared = set(entries[0]).intersection(*entries[1:])
    others = set().union(*entries) - shared
    return Conflicts(dict(shared), frozenset(event_id for _, event_id in others))


def find_conflicts_v1(
    state_sets: Sequence[StateMap],
) -> tuple[dict[StateKey, EventID], dict[StateKey, frozenset[EventID]]]:
    """Unconflicted entries, and the events of each conflicted one.

    An entry that only some state sets have does not conflict here, unlike in later versions.
    Source: room v1 state resolution.
    """
    candidates: defaultdict[StateKey, set[EventID]] = defaultdict(set)
    for state in state_sets:
        for key, event_id in state.items():
            candidates[key].add(event_id)
    unconflicted = {key: next(iter(ids)) for key, ids in candidates.items() if len(ids) == 1}
    conflicted = {key: frozenset(ids) for key, ids in candidates.items() if len(ids) > 1}
    return unconflicted, conflicted

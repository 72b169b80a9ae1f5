"""Stretches of a room that a reader may see, against the rule itself."""

from hypothesis import given
from hypothesis import strategies as st

from homeserver.views.history import _stretches
from homeserver.visibility import INVITED, JOINED, SHARED, WORLD_READABLE, ReaderHistory

END = 30


def intervals(*values: str | None) -> st.SearchStrategy[list[tuple[int, str | None]]]:
    """Values of one entry, each from a state version on."""
    changes = st.dictionaries(st.integers(0, END), st.sampled_from(values), max_size=8)
    return changes.map(lambda found: sorted(found.items()))


VISIBILITY = intervals(None, "", INVITED, JOINED, SHARED, WORLD_READABLE)
MEMBERSHIP = intervals(None, "invite", "join", "leave", "ban", "knock")


class TestStretches:
    """C-S API v1.19 "Room History Visibility": they are its form for queries."""

    @given(VISIBILITY, MEMBERSHIP)
    def test_they_hold_exactly_what_may_be_seen(self, visibility, membership) -> None:
        history = ReaderHistory(visibility=visibility, membership=membership)
        changes = [since for since, _ in (*visibility, *membership)]
        stretches = _stretches(history, changes)
        for version in range(END + 5):
            inside = any(since <= version < until for since, until in stretches)
            assert inside == history.may_see(version)

    @given(VISIBILITY, MEMBERSHIP)
    def test_they_neither_touch_nor_overlap(self, visibility, membership) -> None:
        history = ReaderHistory(visibility=visibility, membership=membership)
        stretches = _stretches(history, [since for since, _ in (*visibility, *membership)])
        ends = [bound for stretch in stretches for bound in stretch]
        assert ends == sorted(set(ends))

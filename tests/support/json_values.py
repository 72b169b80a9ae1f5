"""Hypothesis strategies for JSON."""

from typing import Any

from hypothesis import strategies as st

from homeserver.events.canonical_json import MAX_INTEGER


def _values_of(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.text() | scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )


canonical_values = _values_of(st.integers(-MAX_INTEGER, MAX_INTEGER))
"""What canonical JSON can say."""

json_values = _values_of(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
"""Anything that JSON can say."""

contents = st.dictionaries(st.text(), canonical_values, max_size=4)
"""Content of an event."""

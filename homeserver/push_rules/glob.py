"""Patterns with `*` and `?`.

Source: Matrix v1.19 appendices, "Glob-style matching"; C-S API v1.19 "Push Rules" for words.

Each piece between two stars is looked for from where the one before it was found. Where stars stand
for anything, the first place is as good as any other, so there is nothing to go back to: the time
is that of reading the text, whatever the pattern. A regular expression for the whole would take
ages for `*a*a*a*a*b`.
"""

import re
from collections.abc import Callable
from functools import lru_cache

_NO_WORD_BEFORE = "(?<![A-Za-z0-9_])"
_NO_WORD_AFTER = "(?![A-Za-z0-9_])"

Matches = Callable[[str], bool]


@lru_cache(maxsize=4_096)
def whole(pattern: str) -> Matches:
    """Whether all of a text, in lower case, matches. Case does not matter."""
    folded = pattern.lower()
    if "*" not in folded and "?" not in folded:
        return folded.__eq__
    return _finder(folded, begin=r"\A", end=r"\Z")


@lru_cache(maxsize=4_096)
def words(pattern: str) -> Matches:
    """Whether a part of a text, in lower case, that begins and ends at word boundaries matches."""
    return _finder(pattern.lower(), begin=_NO_WORD_BEFORE, end=_NO_WORD_AFTER)


def _finder(pattern: str, *, begin: str, end: str) -> Matches:
    pieces = pattern.split("*")
    last = len(pieces) - 1
    compiled = [
        re.compile(
            (begin if index == 0 else "")
            + re.escape(piece).replace(r"\?", ".")
            + (end if index == last else ""),
            re.DOTALL,
        )
        for index, piece in enumerate(pieces)
        if piece or last == 0
    ]

    def matches(text: str) -> bool:
        at = 0
        for piece in compiled:
            found = piece.search(text, at)
            if found is None:
                return False
            at = found.end()
        return True

    return matches

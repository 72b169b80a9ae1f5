"""From text to what it can be found by, and from a query to what it looks for. Pure.

Text is cut into words where letters, marks and digits end. Scripts that write words without spaces
are cut into pairs of characters, so that any two of them find their places, without a dictionary.
Source: Unicode 15 "General Category"; UAX #15 for the normalisation forms.
"""

import re
import unicodedata
from collections.abc import Iterator
from enum import Enum, auto
from functools import lru_cache
from itertools import groupby, pairwise

MAX_LEXEMES = 1_000
"""Different lexemes of one text; what comes later cannot be found."""
MAX_WORD_CHARS = 40
"""Of longer words, the beginning is indexed and looked for."""
MAX_QUERY_TERMS = 32
"""Terms of a query that count; a query with more is answered as if it ended there."""

_MIN_PREFIX_CHARS = 2


class _Kind(Enum):
    WORD = auto()
    DENSE = auto()
    SYMBOL = auto()
    GAP = auto()


# Han, Kana, Bopomofo, Thai, Lao, Myanmar, Khmer: no spaces between words.
_DENSE_RANGES = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x2E80, 0x2FDF),
    (0x3005, 0x3007),
    (0x3021, 0x312F),
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x3FFFF),
)
# Accents of Latin, Greek, Cyrillic; points and vowel signs of Hebrew and Arabic, which most people
# leave out; variation selectors. Marks of other scripts are letters of their words.
_DROPPED_MARKS = (
    (0x0300, 0x036F),
    (0x0591, 0x05C7),
    (0x0610, 0x061A),
    (0x064B, 0x065F),
    (0x0670, 0x0670),
    (0x06D6, 0x06ED),
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x20D0, 0x20FF),
    (0xFE00, 0xFE0F),
    (0xFE20, 0xFE2F),
    (0xE0100, 0xE01EF),
)


# What the categories of characters come to where there are only ASCII characters.
_ASCII_WORD = re.compile(r"[a-z0-9]+", re.ASCII)


def folded(text: str) -> str:
    """The text without what a search shall not see: case, accents, forms of presentation, and
    characters that nobody sees (soft hyphens, joiners).
    """
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKC", text).casefold()
    decomposed = unicodedata.normalize("NFKD", plain)
    kept = "".join(char for char in decomposed if not _is_dropped(char))
    return unicodedata.normalize("NFKC", kept)


def lexemes(text: str) -> list[str]:
    """What a text can be found by, in the order of appearance, each once.

    Of a stretch without spaces: all pairs, and the last character, so that every character begins
    one of the lexemes.
    """
    if text.isascii():
        words = _ASCII_WORD.findall(text.lower())
        return list(dict.fromkeys(word[:MAX_WORD_CHARS] for word in words))[:MAX_LEXEMES]
    found: dict[str, None] = {}
    for kind, run in _runs(text):
        found.update(dict.fromkeys(_lexemes_of(kind, run)))
        if len(found) >= MAX_LEXEMES:
            break
    return list(found)[:MAX_LEXEMES]


def query(text: str) -> str | None:
    """The text as a `tsquery`: everything in it must be found, words by their beginnings.

    None: there is nothing in it to look for.
    """
    terms = list(dict.fromkeys(term for kind, run in _runs(text) for term in _terms_of(kind, run)))
    return " & ".join(terms[:MAX_QUERY_TERMS]) or None


def room_lexeme(room_nid: int) -> str:
    """Stands among the lexemes of every message of the room; no text contains it."""
    return f"#{room_nid}"


def sender_lexeme(user_nid: int) -> str:
    """Stands among the lexemes of everything that the user wrote."""
    return f"@{user_nid}"


def name_lexeme() -> str:
    """Stands among the lexemes of names of rooms."""
    return "!n"


def topic_lexeme() -> str:
    """Stands among the lexemes of topics of rooms."""
    return "!t"


def words(text: str) -> list[str]:
    """What a query looks for, as one may highlight it: each once, without case and accents."""
    return list(dict.fromkeys(run for _, run in _runs(text)))[:MAX_QUERY_TERMS]


def quoted(lexeme: str) -> str:
    """A lexeme as it stands in a `tsquery`."""
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"


def _lexemes_of(kind: _Kind, run: str) -> Iterator[str]:
    if kind is _Kind.WORD:
        yield run[:MAX_WORD_CHARS]
    elif kind is _Kind.DENSE:
        yield from map("".join, pairwise(run))
        yield run[-1]
    else:
        yield from run


def _terms_of(kind: _Kind, run: str) -> Iterator[str]:
    if kind is _Kind.WORD:
        word = run[:MAX_WORD_CHARS]
        yield quoted(word) + (":*" if len(word) >= _MIN_PREFIX_CHARS else "")
    elif kind is _Kind.DENSE and len(run) == 1:
        yield quoted(run) + ":*"
    elif kind is _Kind.DENSE:
        yield from (quoted(first + second) for first, second in pairwise(run))
    else:
        yield from map(quoted, run)


def _runs(text: str) -> Iterator[tuple[_Kind, str]]:
    """Stretches of characters of one kind, without the gaps and without marks that stand alone."""
    if text.isascii():
        yield from ((_Kind.WORD, word) for word in _ASCII_WORD.findall(text.lower()))
        return
    for kind, chars in groupby(folded(text), key=_kind_of):
        run = "".join(chars)
        if kind is not _Kind.GAP and not (kind is _Kind.WORD and _is_only_marks(run)):
            yield kind, run


@lru_cache(maxsize=8_192)
def _kind_of(char: str) -> _Kind:
    category = unicodedata.category(char)
    if category[0] in "LMN":
        return _Kind.DENSE if _in(char, _DENSE_RANGES) else _Kind.WORD
    return _Kind.SYMBOL if category == "So" else _Kind.GAP


@lru_cache(maxsize=8_192)
def _is_dropped(char: str) -> bool:
    return unicodedata.category(char) == "Cf" or _in(char, _DROPPED_MARKS)


def _is_only_marks(run: str) -> bool:
    return all(unicodedata.category(char).startswith("M") for char in run)


def _in(char: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    code = ord(char)
    return any(first <= code <= last for first, last in ranges)

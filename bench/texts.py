"""What people write: messages of about sixty characters, as varied as in a team that chats.

Words are made up, but there are as many as people use, as often as in natural language: the n-th
most frequent word comes with a frequency of 1/n. Both matter to the size of a search index.
"""

from collections.abc import Iterator
from itertools import accumulate
from random import Random

_VOCABULARY = 20_000
_ONSETS = (
    "",
    "b",
    "br",
    "c",
    "ch",
    "d",
    "f",
    "g",
    "h",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "st",
    "t",
)
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ou")
_CODAS = ("", "", "", "l", "m", "n", "nd", "r", "s", "t")
_SHORTEST, _LONGEST = 20, 100


def texts(seed: int) -> Iterator[str]:
    """Endless; the same for the same seed."""
    random = Random(seed)
    words = _vocabulary(random)
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    while True:
        length = random.randint(_SHORTEST, _LONGEST)
        text = " ".join(random.choices(words, cum_weights=weights, k=length // 3))
        yield text[:length].strip().capitalize()


def _vocabulary(random: Random) -> list[str]:
    """Frequent words are short."""
    words: dict[str, None] = {}
    while len(words) < _VOCABULARY:
        syllables = 1 + (len(words) > 200) + (len(words) > 5000)
        word = "".join(_syllable(random) for _ in range(random.randint(1, syllables + 1)))
        words[word] = None
    return list(words)


def _syllable(random: Random) -> str:
    return random.choice(_ONSETS) + random.choice(_VOWELS) + random.choice(_CODAS)

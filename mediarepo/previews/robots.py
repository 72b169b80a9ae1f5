"""What pages allow robots to do. Pure.

Source: Google's and Bing's documentation of `robots` meta tags and `X-Robots-Tag`.
"""

from collections.abc import Iterable

from mediarepo.previews.page import Robots

AGENT = "foyer"
"""The name by which rules may speak of this program."""

_NO_INDEX = frozenset({"noindex", "none"})
_NO_SNIPPET = frozenset({"nosnippet", "max-snippet:0"})
_NO_IMAGE = frozenset({"noimageindex", "max-image-preview:none"})
_WITH_VALUE = frozenset({"max-snippet", "max-image-preview", "max-video-preview"})
_DATED = "unavailable_after"


def of_directives(text: str) -> Robots:
    """Of the content of a meta tag: words separated by commas."""
    words = {"".join(word.split()).lower() for word in text.split(",")}
    return Robots(
        no_index=bool(words & _NO_INDEX),
        no_snippet=bool(words & _NO_SNIPPET),
        no_image=bool(words & _NO_IMAGE),
    )


def of_headers(values: Iterable[str]) -> Robots:
    """Of all `X-Robots-Tag` headers; those that name another robot do not count."""
    allowed = Robots()
    for value in values:
        allowed |= of_directives(_for_us(value))
    return allowed


def _for_us(value: str) -> str:
    """`googlebot: noindex` is for another one; what follows a name is for the one that it names."""
    name, colon, rest = value.partition(":")
    word = name.strip().lower()
    if not colon or "," in name or word in _WITH_VALUE or word == _DATED:
        return value
    return rest if word in {AGENT, "*"} else ""

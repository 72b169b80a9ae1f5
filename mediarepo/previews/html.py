"""Reads what pages say about themselves: OpenGraph, Twitter cards, titles, descriptions. Pure.

A page is fed to the parser once and never closed: a construct that does not end, of which hostile
pages have thousands, ends the reading instead of being looked at again from each of its beginnings.
"""

from collections.abc import Iterable
from contextlib import suppress
from html.parser import HTMLParser
from urllib.parse import urljoin

from mediarepo.previews import robots
from mediarepo.previews.page import Page, Robots, tidy

MAX_CHARS = 2_000_000
"""More of a page is not looked at."""

_MAX_STEPS = 20_000
_MAX_DEPTH = 100
_MAX_TEXT_CHARS = 4_000
_ENOUGH_TEXT_CHARS = 500
_MAX_URL_CHARS = 2_048

_OEMBED_TYPE = "application/json+oembed"

_Attributes = list[tuple[str, str | None]]

_KEPT = frozenset(
    {
        "og:title",
        "og:description",
        "og:type",
        "og:site_name",
        "og:url",
        "og:locale",
        "og:image:alt",
        "article:author",
        "article:published_time",
    }
)
_IMAGES = ("og:image:secure_url", "og:image:url", "og:image", "twitter:image", "twitter:image:src")
_TITLES = ("og:title", "twitter:title")
_DESCRIPTIONS = ("og:description", "twitter:description", "description")
_UNREAD = frozenset(
    {"script", "style", "noscript", "template", "svg", "head", "nav", "header", "footer", "aside"}
    | {"form", "button", "select", "textarea", "iframe", "title", "figcaption"}
)


def read(text: str, *, url: str, headers: Robots | None = None) -> Page:
    """What the page at `url` says about itself. headers: what its headers say to robots.

    Of a page that wants to be in no index nothing is told; of one that wants to be quoted nowhere,
    no description.
    """
    reader = _Reader()
    with suppress(_Enough):
        reader.feed(text[:MAX_CHARS])
    allowed = reader.robots | (headers or Robots())
    if allowed.no_index:
        return Page(robots=allowed)
    base = _joined(url, reader.base) or url
    return Page(
        properties=_properties(reader, allowed, base),
        image="" if allowed.no_image else _image(reader, base),
        oembed=_joined(base, reader.oembed),
        robots=allowed,
    )


def text_of(fragment: str) -> str:
    """The words of a piece of HTML."""
    reader = _Reader()
    with suppress(_Enough):
        reader.feed(fragment[:MAX_CHARS] + "<p>")
    return tidy(" ".join(reader.words))


class _Enough(Exception):
    """The rest of the page is of no interest."""


class _Reader(HTMLParser):
    """Collects the first of everything."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.meta: dict[str, str] = {}
        self.robots = Robots()
        self.base = ""
        self.image = ""
        self.oembed = ""
        self.title = ""
        self.heading = ""
        self.words: list[str] = []
        self._steps = 0
        self._word_chars = 0
        self._unread: list[str] = []
        self._within = ""

    def handle_starttag(self, tag: str, attrs: _Attributes) -> None:
        self._step()
        if tag in {"meta", "link", "base"}:
            self._declare(tag, {name: value or "" for name, value in reversed(attrs)})
        elif (tag == "title" and not self.title) or (tag == "h1" and not self.heading):
            self._within = tag
        elif tag == "body":
            self._unread.clear()
        if tag in _UNREAD and len(self._unread) < _MAX_DEPTH:
            self._unread.append(tag)

    def handle_startendtag(self, tag: str, attrs: _Attributes) -> None:
        """HTML knows no tags that close themselves but those that are void anyway."""
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        self._step()
        if tag == self._within:
            self._within = ""
        if tag in self._unread:
            while self._unread.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        self._step()
        if self._within == "title" and len(self.title) < _MAX_TEXT_CHARS:
            self.title += data[:_MAX_TEXT_CHARS]
        elif self._within == "h1" and len(self.heading) < _MAX_TEXT_CHARS:
            self.heading += data[:_MAX_TEXT_CHARS]
        elif not self._unread and self._word_chars < _ENOUGH_TEXT_CHARS:
            words = " ".join(data[:_MAX_TEXT_CHARS].split())
            if words:
                self.words.append(words)
                self._word_chars += len(words)

    def _step(self) -> None:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise _Enough

    def _declare(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "meta":
            self._meta(attributes)
        elif tag == "base":
            self.base = self.base or attributes.get("href", "")
        else:
            self._link(attributes)

    def _meta(self, attributes: dict[str, str]) -> None:
        """The first of each name counts. `property` and `name` are mixed up everywhere."""
        name = (attributes.get("property") or attributes.get("name", "")).strip().lower()
        content = attributes.get("content", "").strip()
        if name in {"robots", robots.AGENT}:
            self.robots |= robots.of_directives(content[:_MAX_TEXT_CHARS])
        elif name in _WANTED and content:
            self.meta.setdefault(name, content)

    def _link(self, attributes: dict[str, str]) -> None:
        kinds = attributes.get("rel", "").lower().split()
        href = attributes.get("href", "").strip()
        if "image_src" in kinds:
            self.image = self.image or href
        elif (
            "alternate" in kinds and attributes.get("type", "").lower() == "application/json+oembed"
        ):
            self.oembed = self.oembed or href


_WANTED = frozenset({*_KEPT, *_IMAGES, *_TITLES, *_DESCRIPTIONS})


def _properties(reader: _Reader, allowed: Robots, base: str) -> dict[str, str]:
    found = {name: tidy(value) for name, value in reader.meta.items() if name in _KEPT}
    found["og:title"] = _first([*_of(reader, _TITLES), reader.title, reader.heading])
    found["og:description"] = _first([*_of(reader, _DESCRIPTIONS), " ".join(reader.words)])
    found["og:url"] = _joined(base, reader.meta.get("og:url", ""))
    if allowed.no_snippet:
        found.pop("og:description")
    return {name: value for name, value in found.items() if value}


def _of(reader: _Reader, names: Iterable[str]) -> list[str]:
    return [reader.meta.get(name, "") for name in names]


def _first(texts: Iterable[str]) -> str:
    return next((found for found in map(tidy, texts) if found), "")


def _image(reader: _Reader, base: str) -> str:
    urls = (_joined(base, each) for each in (*_of(reader, _IMAGES), reader.image))
    return next((url for url in urls if url), "")


def _joined(base: str, reference: str) -> str:
    """An absolute http or https URL, or "" for anything else."""
    if not reference or len(reference) > _MAX_URL_CHARS:
        return ""
    try:
        url = urljoin(base, reference.strip())
    except ValueError:
        return ""
    return url if url.lower().startswith(("http://", "https://")) else ""

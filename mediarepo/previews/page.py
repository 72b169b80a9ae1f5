"""What a page says about itself, as far as previews need it."""

from dataclasses import dataclass, field

MAX_TEXT_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Robots:
    """What a page allows those who are not people to do with it."""

    no_index: bool = False
    no_snippet: bool = False
    no_image: bool = False

    def __or__(self, other: "Robots") -> "Robots":
        return Robots(
            no_index=self.no_index or other.no_index,
            no_snippet=self.no_snippet or other.no_snippet,
            no_image=self.no_image or other.no_image,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """properties: OpenGraph names and values, such as "og:title". image: an absolute URL, or "".
    oembed: absolute URL of what tells more, or "".
    """

    properties: dict[str, str] = field(default_factory=dict)
    image: str = ""
    oembed: str = ""
    robots: Robots = Robots()


def tidy(text: str, *, max_chars: int = MAX_TEXT_CHARS) -> str:
    """In one line, without control characters, and not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 8 * max_chars]).split())
    return line if len(line) <= max_chars else line[: max_chars - 1].rstrip() + "…"

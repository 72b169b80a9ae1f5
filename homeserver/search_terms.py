"""From text to what it can be found by. Pure."""

import unicodedata


def folded(text: str) -> str:
    """The text without what a search should not see: case, accents, presentation forms."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))

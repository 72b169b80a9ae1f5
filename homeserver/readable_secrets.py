"""Secrets that people read and type: passwords, invitation codes."""

from collections.abc import Callable

# Without what is mistaken for something else: i, l, o, 0, 1.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_SPARE_BYTES = 8


def readable_secret(random_bytes: Callable[[int], bytes], *, groups: int, group_chars: int) -> str:
    """Groups of letters and digits joined by hyphens, with 4.95 bits for each character."""
    count = groups * group_chars
    # So many more bits than the characters need that none is noticeably likelier than others.
    number = int.from_bytes(random_bytes(count * 5 // 8 + _SPARE_BYTES))
    characters = []
    for _ in range(count):
        number, index = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[index])
    text = "".join(characters)
    return "-".join(text[start : start + group_chars] for start in range(0, count, group_chars))

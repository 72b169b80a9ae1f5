"""How a page is to be read as text. Pure.

Source: WHATWG HTML, 13.2.3 "The input byte stream"; WHATWG Encoding, 4.2 "Names and labels".
"""

import codecs
import re

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_META = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE
)
_META_BYTES = 1024
_OTHER_NAMES = {"x-sjis": "shift_jis", "ks_c_5601-1987": "cp949", "x-gbk": "gbk", "utf8": "utf-8"}
_WIDER = {
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "iso8859-9": "cp1254",
    "utf-16": "utf-16-le",
}
"""Browsers read the first as the second, which has more."""
_KNOWN = frozenset(
    {"utf-8", "utf-16-le", "utf-16-be", "gb18030", "big5", "big5hkscs", "euc_jp", "cp932"}
    | {"iso2022_jp", "cp949", "koi8-r", "koi8-u", "mac-roman", "mac-cyrillic", "cp866", "cp874"}
    | {f"cp125{n}" for n in range(9)}
    | {f"iso8859-{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)}
)
_FALLBACK = "cp1252"


def decode(body: bytes, *, declared: str | None) -> str:
    """The text of a page, with a mark in place of each byte that is wrong.

    declared: the charset of its Content-Type.
    """
    for bom, name in _BOMS:
        if body.startswith(bom):
            return body[len(bom) :].decode(name, "replace")
    for label in (declared, _in_meta(body)):
        codec = _codec(label)
        if codec is not None:
            return body.decode(codec, "replace")
    return _guessed(body)


def _in_meta(body: bytes) -> str | None:
    found = _META.search(body[:_META_BYTES])
    if found is None:
        return None
    label = found[1].decode("ascii")
    return "utf-8" if label.lower().startswith("utf-16") else label


def _codec(label: str | None) -> str | None:
    """Python's name of an encoding that pages have; there are codecs that are no such thing."""
    if not label:
        return None
    plain = label.strip().strip("\"'").lower()
    try:
        name = codecs.lookup(_OTHER_NAMES.get(plain, plain)).name
    except (LookupError, ValueError):
        return None
    name = _WIDER.get(name, name)
    return name if name in _KNOWN else None


def _guessed(body: bytes) -> str:
    """UTF-8 if that is possible, but for a character that was cut off at the end."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(body)
    except UnicodeDecodeError:
        return body.decode(_FALLBACK, "replace")

"""What sites tell about their pages in JSON. Pure.

Source: oEmbed (oembed.com), 2.3 "The Response Format".
"""

from typing import Any
from urllib.parse import urljoin

import orjson

from mediarepo.previews.html import text_of
from mediarepo.previews.page import Page, tidy

_NAMES = {
    "title": "og:title",
    "provider_name": "og:site_name",
    "author_name": "article:author",
}


def read(body: bytes, *, url: str) -> Page:
    """An empty page for what is no oEmbed."""
    try:
        told = orjson.loads(body)
    except ValueError:
        return Page()
    if not isinstance(told, dict):
        return Page()
    properties = {name: tidy(_text(told, key)) for key, name in _NAMES.items()}
    if told.get("type") == "rich":
        properties["og:description"] = text_of(_text(told, "html"))
    return Page(
        properties={name: value for name, value in properties.items() if value},
        image=_image(told, url),
    )


def merge(page: Page, told: Page) -> Page:
    """What a page says itself comes first."""
    properties = told.properties | page.properties
    if page.robots.no_snippet:
        properties.pop("og:description", None)
    image = "" if page.robots.no_image else page.image or told.image
    return Page(properties=properties, image=image, robots=page.robots)


def _image(told: dict[str, Any], url: str) -> str:
    reference = _text(told, "thumbnail_url")
    if told.get("type") == "photo":
        reference = reference or _text(told, "url")
    try:
        image = urljoin(url, reference) if reference else ""
    except ValueError:
        return ""
    return image if image.lower().startswith(("http://", "https://")) else ""


def _text(told: dict[str, Any], key: str) -> str:
    value = told.get(key)
    return value if isinstance(value, str) else ""

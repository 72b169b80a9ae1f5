"""Looks at the page behind a link, and at its picture."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from homeserver.config.models import PreviewsConfig
from homeserver.errors import ImagingFailed, LimitExceeded, NotAnImage, TooLarge, Unavailable
from mediarepo.files import Files
from mediarepo.imaging.imaging import Imaging
from mediarepo.imaging.sizes import Size, Target
from mediarepo.previews import charsets, html, oembed
from mediarepo.previews.fetching import Answer, Fetcher, FetchFailed, read
from mediarepo.previews.page import Page
from mediarepo.spool import Spool, Spooled, contents_of, piece

_PAGES = frozenset({"text/html", "application/xhtml+xml"})
_ACCEPT_PAGE = "text/html, application/xhtml+xml, image/*;q=0.8, */*;q=0.1"
_ACCEPT_PICTURE = "image/webp, image/avif, image/*"
_ACCEPT_JSON = "application/json"
_MAX_JSON_BYTES = 65_536
_KIB = 1_024
_MIB = 1_048_576
_PICTURE = Target(size=Size(800, 600), method="scale")
_MAX_PICTURE_BYTES = 4 * _MIB


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a page, no larger than previews need it. width, height: pixels."""

    spooled: Spooled
    content_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is behind a link. properties: OpenGraph names and values."""

    properties: dict[str, str]
    picture: Picture | None


class Looking:
    """Asks sites, and makes sense of what they answer."""

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        files: Files,
        spool: Spool,
        imaging: Imaging,
        settings: PreviewsConfig,
    ) -> None:
        self._fetcher = fetcher
        self._files = files
        self._spool = spool
        self._imaging = imaging
        self._max_page_bytes = settings.max_page_kb * _KIB
        self._max_picture_bytes = settings.max_image_mb * _MIB

    async def look(self, url: str, stack: AsyncExitStack) -> Seen:
        """What there is at a URL. stack: the picture is on the disk until it is closed.

        Raises FetchFailed.
        """
        async with self._fetcher.open(url, accept=_ACCEPT_PAGE) as answer:
            if answer.content_type.startswith("image/"):
                return Seen({}, await self._picture(answer, stack))
            page = await self._page(answer)
        return Seen(page.properties, await self._picture_of(page, stack))

    async def _page(self, answer: Answer) -> Page:
        if answer.content_type not in _PAGES:
            return Page(robots=answer.robots)
        body = await read(answer, max_bytes=self._max_page_bytes, cut=True)
        page = await asyncio.to_thread(_read_page, answer, body)
        if page.oembed and not (page.image and "og:title" in page.properties):
            return oembed.merge(page, await self._told(page.oembed))
        return page

    async def _told(self, url: str) -> Page:
        """What a site tells about a page elsewhere; nothing if that fails."""
        try:
            async with self._fetcher.open(url, accept=_ACCEPT_JSON) as answer:
                body = await read(answer, max_bytes=_MAX_JSON_BYTES)
                return oembed.read(body, url=answer.url)
        except FetchFailed:
            return Page()

    async def _picture_of(self, page: Page, stack: AsyncExitStack) -> Picture | None:
        """A page is worth showing without its picture, too."""
        if not page.image:
            return None
        try:
            async with self._fetcher.open(page.image, accept=_ACCEPT_PICTURE) as answer:
                return await self._picture(answer, stack)
        except FetchFailed:
            return None

    async def _picture(self, answer: Answer, stack: AsyncExitStack) -> Picture | None:
        """None for what is no picture, or wants to be shown nowhere else."""
        if answer.robots.no_index or answer.robots.no_image:
            return None
        try:
            original = await stack.enter_async_context(
                self._files.received(answer.chunks, max_bytes=self._max_picture_bytes)
            )
            return await self._smaller(original, stack)
        except (NotAnImage, TooLarge, ImagingFailed, LimitExceeded, Unavailable):
            return None

    async def _smaller(self, original: Spooled, stack: AsyncExitStack) -> Picture | None:
        """What is kept is drawn anew, unless it is small already."""
        output = stack.enter_context(self._spool.scratch())
        made = await self._imaging.thumbnail(original.path, _PICTURE, output=output)
        spooled = original
        if not made.is_original:
            spooled = await stack.enter_async_context(
                self._files.received(piece(await contents_of(output)), max_bytes=_MAX_PICTURE_BYTES)
            )
        if spooled.size > _MAX_PICTURE_BYTES:
            return None
        return Picture(spooled, made.content_type, made.width, made.height)


def _read_page(answer: Answer, body: bytes) -> Page:
    """In a thread: a large page takes a while."""
    text = charsets.decode(body, declared=answer.charset)
    return html.read(text, url=answer.url, headers=answer.robots)

"""Real processes look into real pictures, some of which are meant to hurt."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from homeserver.config.models import ThumbnailsConfig
from homeserver.errors import ImageTooLarge, ImagingFailed, NotAnImage, Unavailable
from mediarepo.imaging.imaging import Imaging
from mediarepo.imaging.jobs import Made
from mediarepo.imaging.sizes import Method, Size, Target
from tests.support import pictures
from tests.support.pictures import colour_at, decoded

SMALL = ThumbnailsConfig(workers=1, max_megapixels=4, max_frames=20)
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><rect width='9'/></svg>"


def environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


class Studio:
    """Gives files to the processes. `written`: the last thumbnail."""

    def __init__(self, folder: Path, imaging: Imaging) -> None:
        self._folder = folder
        self.imaging = imaging

    @property
    def written(self) -> bytes:
        return (self._folder / "out").read_bytes()

    def file(self, data: bytes) -> Path:
        path = self._folder / "a [n=-1] name.png"
        path.write_bytes(data)
        return path

    async def makes(
        self, data: bytes, width: int, height: int, method: Method = "scale", *, animated=False
    ) -> Made:
        target = Target(size=Size(width, height), method=method, animated=animated)
        output = self._folder / "out"
        return await self.imaging.thumbnail(self.file(data), target, output=output)

    async def inspects(self, data: bytes):
        return await self.imaging.inspect(self.file(data))


@pytest.fixture
async def studio(tmp_path) -> AsyncIterator[Studio]:
    imaging = Imaging(settings=SMALL)
    yield Studio(tmp_path, imaging)
    await imaging.close()


class TestThumbnail:
    async def test_a_photo_is_fitted_in_and_a_jpeg(self, studio):
        made = await studio.makes(pictures.jpeg(pictures.noise(1000, 500)), 320, 240)
        assert (made.width, made.height, made.content_type) == (320, 160, "image/jpeg")
        shown = decoded(studio.written)
        assert (shown.width, shown.height) == (320, 160)

    async def test_what_shines_through_stays_so(self, studio):
        glass = pictures.plain(600, 600, (10, 20, 220, 100))
        made = await studio.makes(pictures.png(glass), 96, 96, "crop")
        shown = decoded(studio.written)
        assert (made.content_type, shown.bands, shown(5, 5)[3]) == ("image/png", 4, 100)

    @pytest.mark.parametrize("encode", [pictures.png, pictures.webp, pictures.avif])
    async def test_every_kind_that_is_known(self, studio, encode):
        made = await studio.makes(encode(pictures.halves(400, 300)), 96, 96, "crop")
        shown = decoded(studio.written)
        assert (made.width, made.height) == (shown.width, shown.height) == (96, 96)
        assert (colour_at(shown, 5, 50), colour_at(shown, 90, 50)) == ("red", "blue")

    async def test_a_turned_photo_stands_upright_and_says_nothing_about_its_place(self, studio):
        turned = pictures.turned_jpeg(pictures.halves(600, 400), 6)
        assert b"Tranquillitatis" in turned
        made = await studio.makes(turned, 320, 240)
        shown = decoded(studio.written)
        assert (made.width, made.height) == (shown.width, shown.height) == (160, 240)
        assert (colour_at(shown, 80, 5), colour_at(shown, 80, 235)) == ("red", "blue")
        assert b"Tranquillitatis" not in studio.written
        assert b"Exif" not in studio.written

    async def test_a_small_picture_is_the_answer_itself(self, studio):
        made = await studio.makes(pictures.png(pictures.plain(50, 60)), 320, 240)
        assert made.is_original
        assert (made.width, made.height, made.content_type) == (50, 60, "image/png")

    async def test_a_small_picture_of_a_kind_that_thumbnails_are_not_is_made_one(self, studio):
        made = await studio.makes(pictures.avif(pictures.plain(64, 64)), 320, 240)
        assert (made.is_original, made.content_type) == (False, "image/jpeg")
        assert decoded(studio.written).width == 64

    async def test_nothing_is_made_larger(self, studio):
        made = await studio.makes(pictures.png(pictures.plain(50, 400)), 96, 96, "crop")
        assert (made.width, made.height) == (50, 96)


class TestAnimation:
    @pytest.mark.parametrize("encode", [pictures.animated_gif, pictures.animated_webp])
    @pytest.mark.parametrize(("method", "size"), [("scale", (96, 48)), ("crop", (96, 96))])
    async def test_it_moves_when_asked_to(self, studio, encode, method, size):
        made = await studio.makes(encode(400, 200), 96, 96, method, animated=True)
        shown = decoded(studio.written, n=-1)
        assert (made.width, made.height) == size
        assert (made.animated, made.content_type) == (True, "image/webp")
        assert (shown.width, shown.get("page-height"), shown.get("n-pages")) == (*size, 3)
        assert shown.get("delay") == [100, 100, 100]

    @pytest.mark.parametrize("encode", [pictures.animated_gif, pictures.animated_png])
    async def test_it_stands_still_otherwise_even_if_it_is_small(self, studio, encode):
        made = await studio.makes(encode(40, 40), 96, 96, "crop")
        assert (made.is_original, made.animated) == (False, False)
        assert decoded(studio.written).get_typeof("n-pages") == 0

    async def test_a_small_one_is_the_answer_itself(self, studio):
        made = await studio.makes(pictures.animated_gif(40, 40), 96, 96, "crop", animated=True)
        assert (made.is_original, made.animated) == (True, True)

    async def test_one_with_too_many_frames_stands_still(self, studio):
        made = await studio.makes(pictures.animated_gif(200, 200, 21), 96, 96, animated=True)
        assert (made.animated, decoded(studio.written).get_typeof("n-pages")) == (False, 0)

    async def test_one_with_too_many_pixels_in_all_stands_still(self, studio):
        made = await studio.makes(pictures.animated_gif(800, 600, 9), 96, 96, animated=True)
        assert not made.animated


class TestInspect:
    @pytest.mark.parametrize(
        ("encode", "content_type"),
        [
            (pictures.png, "image/png"),
            (pictures.jpeg, "image/jpeg"),
            (pictures.webp, "image/webp"),
            (pictures.avif, "image/avif"),
        ],
    )
    async def test_a_still_picture(self, studio, encode, content_type):
        facts = await studio.inspects(encode(pictures.halves(400, 200)))
        assert (facts.width, facts.height, facts.content_type) == (400, 200, content_type)
        assert (facts.animated, len(facts.blurhash)) == (False, 28)

    @pytest.mark.parametrize(
        "encode", [pictures.animated_gif, pictures.animated_webp, pictures.animated_png]
    )
    async def test_an_animation(self, studio, encode):
        facts = await studio.inspects(encode(60, 30))
        assert (facts.width, facts.height, facts.animated) == (60, 30, True)

    async def test_a_turned_photo_has_the_size_that_it_is_seen_in(self, studio):
        facts = await studio.inspects(pictures.turned_jpeg(pictures.halves(60, 40), 8))
        assert (facts.width, facts.height) == (40, 60)

    async def test_pictures_that_look_different_have_different_hashes(self, studio):
        red = await studio.inspects(pictures.png(pictures.plain(40, 40, pictures.RED)))
        blue = await studio.inspects(pictures.png(pictures.plain(40, 40, pictures.BLUE)))
        assert red.blurhash != blue.blurhash

    @pytest.mark.parametrize("data", [SVG, b"%PDF-1.7\n", b"just text", b"", b"\x89PNG\r\n\x1a\n"])
    async def test_nothing_is_known_of_anything_else(self, studio, data):
        assert await studio.inspects(data) is None


class TestHostileFiles:
    @pytest.mark.parametrize("data", [SVG, b"%PDF-1.7\n", b"text", b"", b"II*\0\x08\0\0\0", b"BM"])
    async def test_what_is_no_picture_is_not_drawn(self, studio, data):
        with pytest.raises(NotAnImage):
            await studio.makes(data, 96, 96)

    async def test_a_bomb_is_refused_before_it_is_unpacked(self, studio):
        with pytest.raises(ImageTooLarge):
            await studio.makes(pictures.bomb_png(30_000, 30_000), 96, 96)

    async def test_a_picture_that_lies_about_its_size_is_harmless(self, studio):
        made = await studio.makes(pictures.bomb_png(1999, 1999), 96, 96)
        assert made.width == 96

    @pytest.mark.parametrize("encode", [pictures.png, pictures.webp, pictures.avif])
    async def test_a_picture_that_ends_too_early_is_an_error_or_partly_seen(self, studio, encode):
        whole = encode(pictures.noise(300, 300))
        for end in (20, 60, len(whole) // 2):
            try:
                made = await studio.makes(whole[:end], 96, 96)
            except (ImagingFailed, NotAnImage):
                continue
            assert made.width == 96
        assert await studio.inspects(whole)

    async def test_half_a_photo_is_seen(self, studio):
        whole = pictures.jpeg(pictures.noise(300, 300))
        assert (await studio.makes(whole[: len(whole) // 2], 96, 96)).width == 96

    async def test_a_picture_that_is_a_page_too_is_only_a_picture(self, studio):
        polyglot = pictures.animated_gif(300, 300) + b"<script>alert(1)</script>"
        made = await studio.makes(polyglot, 96, 96)
        assert made.content_type == "image/png"
        assert b"<script>" not in studio.written

    async def test_bits_that_are_wrong_break_nothing(self, studio):
        whole = bytearray(pictures.jpeg(pictures.noise(200, 200)))
        for at in range(30, len(whole), len(whole) // 12):
            broken = bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
            try:
                await studio.makes(broken, 96, 96)
            except (ImagingFailed, NotAnImage, ImageTooLarge):
                continue
        assert (await studio.makes(bytes(whole), 96, 96)).width == 96

    async def test_it_cannot_reach_other_files_by_its_name(self, studio, tmp_path):
        """A name with options of libvips in it, which `Studio.file` gives, is only a name."""
        made = await studio.makes(pictures.animated_gif(300, 300), 96, 96)
        assert (made.animated, made.height) == (False, 96)


class TestProcesses:
    async def test_one_that_is_killed_fails_one_job_and_no_other(self, studio):
        picture = pictures.png(pictures.plain(400, 400))
        await studio.makes(picture, 96, 96)
        (pid,) = studio.imaging.pids
        os.kill(pid, signal.SIGSTOP)
        stuck = asyncio.create_task(studio.makes(picture, 96, 96))
        await asyncio.sleep(0)
        assert studio.imaging.pids == [pid]
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ImagingFailed):
            await stuck
        assert (await studio.makes(picture, 96, 96)).width == 96
        assert studio.imaging.pids != [pid]

    async def test_one_that_takes_too_long_is_ended(self, tmp_path):
        imaging = Imaging(settings=SMALL.model_copy(update={"timeout_seconds": 0.001}))
        studio = Studio(tmp_path, imaging)
        with pytest.raises(ImagingFailed):
            await studio.makes(pictures.png(pictures.plain(400, 400)), 96, 96)
        assert imaging.pids == []

    async def test_one_that_wants_too_much_memory_gets_an_error(self, tmp_path):
        small = ThumbnailsConfig(max_megapixels=400).model_copy(update={"max_memory_mb": 250})
        imaging = Imaging(settings=small)
        studio = Studio(tmp_path, imaging)
        interlaced = bytes(pictures.plain(9000, 9000).pngsave_buffer(interlace=True))
        with pytest.raises(ImagingFailed):
            await studio.makes(interlaced, 96, 96)
        assert (await studio.makes(pictures.png(pictures.plain(200, 200)), 96, 96)).width == 96
        await imaging.close()

    async def test_no_more_wait_than_may(self, tmp_path):
        imaging = Imaging(settings=SMALL.model_copy(update={"max_waiting": 1}))
        studio = Studio(tmp_path, imaging)
        picture = pictures.png(pictures.plain(200, 200))
        jobs = [studio.makes(picture, 96, 96) for _ in range(3)]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert [type(each) for each in results] == [Made, Made, Unavailable]
        await imaging.close()

    async def test_one_knows_no_secrets_and_gives_way_to_others(self, studio, monkeypatch):
        monkeypatch.setenv("FOYER_AUTH__JWT_SECRET", "very secret")
        await studio.makes(pictures.png(pictures.plain(400, 400)), 96, 96)
        (pid,) = studio.imaging.pids
        assert b"very secret" not in environment(pid)
        assert os.getpriority(os.PRIO_PROCESS, pid) == 19

    async def test_closing_ends_all(self, studio):
        await studio.makes(pictures.png(pictures.plain(400, 400)), 96, 96)
        (pid,) = studio.imaging.pids
        await studio.imaging.close()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

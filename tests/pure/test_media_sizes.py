"""Which thumbnail answers a request, and what kind of picture a file is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import InvalidInput
from mediarepo.imaging.formats import Format, sniff
from mediarepo.imaging.sizes import (
    CROPPED,
    MAX_SIDE,
    SCALED,
    Size,
    all_targets,
    choose,
    requested,
)

sides = st.integers(1, MAX_SIDE)


class TestRequestedSize:
    @pytest.mark.parametrize(("width", "height"), [(0, 1), (1, 0), (-5, 5), (5, MAX_SIDE + 1)])
    def test_a_side_out_of_range_is_refused(self, width, height):
        with pytest.raises(InvalidInput):
            requested(width, height)


class TestChoose:
    """C-S API v1.19 "Thumbnails"."""

    @pytest.mark.parametrize(
        ("wanted", "method", "chosen"),
        [
            ((1, 1), "crop", (32, 32)),
            ((32, 32), "crop", (32, 32)),
            ((33, 32), "crop", (96, 96)),
            ((96, 96), "crop", (96, 96)),
            ((100, 100), "crop", (320, 320)),
            ((90, 30), "crop", (96, 32)),
            ((240, 320), "crop", (240, 320)),
            ((160, 90), "crop", (320, 180)),
            ((1, 1), "scale", (320, 240)),
            ((320, 240), "scale", (320, 240)),
            ((321, 1), "scale", (640, 480)),
            ((1, 241), "scale", (640, 480)),
            ((640, 480), "scale", (640, 480)),
            ((800, 600), "scale", (800, 600)),
            ((801, 600), "scale", (1600, 1200)),
            ((9000, 9000), "scale", (3200, 2400)),
            ((9000, 9000), "crop", (1280, 1280)),
        ],
    )
    def test_the_smallest_that_is_large_enough(self, wanted, method, chosen):
        assert choose(requested(*wanted), method).size == Size(*chosen)

    @pytest.mark.parametrize(
        ("size", "method"),
        [
            ((32, 32), "crop"),
            ((96, 96), "crop"),
            ((320, 240), "scale"),
            ((640, 480), "scale"),
            ((800, 600), "scale"),
        ],
    )
    def test_those_that_the_specification_recommends_are_made_as_they_are(self, size, method):
        assert choose(Size(*size), method).size == Size(*size)

    @given(sides, sides, st.sampled_from(["crop", "scale"]), st.booleans())
    def test_there_are_only_few(self, width, height, method, animated):
        assert choose(Size(width, height), method, animated=animated) in all_targets()

    def test_few_are_fewer_than_a_hundred_and_fifty(self):
        assert len(all_targets()) < 150

    @given(st.integers(1, SCALED[-1][0]), st.integers(1, SCALED[-1][1]))
    def test_what_is_scaled_covers_what_is_wanted(self, width, height):
        assert choose(Size(width, height), "scale").size.covers(Size(width, height))

    @given(st.integers(1, CROPPED[-1] // 3), st.integers(1, CROPPED[-1] // 3))
    def test_what_is_cropped_covers_what_is_wanted(self, width, height):
        assert choose(Size(width, height), "crop").size.covers(Size(width, height))

    @given(sides, sides)
    def test_a_shape_between_1_to_3_and_3_to_1_stays_nearly_so(self, width, height):
        if max(width, height) > 3 * min(width, height):
            return
        chosen = choose(Size(width, height), "crop").size
        assert 0.7 < (chosen.width / chosen.height) / (width / height) < 1.43


class TestSniff:
    """Nobody's word for what a file is counts, only the file."""

    @pytest.mark.parametrize(
        ("head", "kind"),
        [
            (b"\xff\xd8\xff\xe0\0\x10JFIF", Format.JPEG),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Format.PNG),
            (b"GIF87a", Format.GIF),
            (b"GIF89a<script>", Format.GIF),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Format.WEBP),
            (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", Format.AVIF),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", Format.AVIF),
            (b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf", None),
            (b"\0\0\0\x10ftypheic\0\0\0\0avif", None),
            (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", None),
            (b"RIFF\x10\0\0\0WAVEfmt ", None),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", None),
            (b"%PDF-1.7", None),
            (b"II*\0", None),
            (b"BM", None),
            (b"", None),
        ],
    )
    def test_it_is_told_by_how_it_begins(self, head, kind):
        assert sniff(head) is kind

    @given(st.binary(max_size=80))
    def test_no_beginning_fails(self, head):
        sniff(head)

"""QR codes that `foyer chat` draws and reads."""

import secrets

import pytest
import pyvips
import segno
import zxingcpp

from e2e.client.chat import qr_codes
from e2e.client.errors import BadKeys

RAW = b"MATRIX\x02\x00" + bytes(range(150))
_DARK_HALVES = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}


def seen(lines: list[str]) -> memoryview:
    """What a camera sees of a terminal, eight pixels a module."""
    rows = []
    for line in lines:
        text = line.removeprefix("\x1b[30;107m").removesuffix("\x1b[0m")
        for half in (0, 1):
            row = b"".join(bytes([255 * (1 - _DARK_HALVES[sign][half])]) * 8 for sign in text)
            rows += [row] * 8
    return memoryview(b"".join(rows)).cast("B", [len(rows), len(rows[0])])


class TestDrawing:
    @pytest.mark.parametrize("length", [120, 150, 190, 260])
    def test_a_camera_reads_it(self, length):
        raw = secrets.token_bytes(length)
        # In random modules there is now and then a bar code of another kind, too.
        (found,) = zxingcpp.read_barcodes(
            seen(qr_codes.drawn(raw)), formats=zxingcpp.BarcodeFormat.QRCode
        )
        assert found.bytes == raw

    def test_each_line_ends_its_colours(self):
        lines = qr_codes.drawn(RAW)
        assert len({len(line) for line in lines}) == 1
        assert all(line.endswith("\x1b[0m") for line in lines)


class TestReading:
    @pytest.mark.parametrize("kind", ["png", "jpg"])
    def test_a_picture(self, tmp_path, kind):
        drawn, path = tmp_path / "drawn.png", tmp_path / f"code.{kind}"
        segno.make_qr(RAW, error="l").save(str(drawn), scale=5)
        pyvips.Image.new_from_file(str(drawn)).write_to_file(str(path))
        assert qr_codes.from_picture(str(path)) == RAW

    def test_a_picture_without_a_code(self, tmp_path):
        path = tmp_path / "black.png"
        pyvips.Image.black(64, 64).write_to_file(str(path))
        with pytest.raises(BadKeys, match="no QR code"):
            qr_codes.from_picture(str(path))

    def test_what_is_no_picture(self, tmp_path):
        path = tmp_path / "text.png"
        path.write_text("a picture, honestly")
        with pytest.raises(BadKeys, match="no picture"):
            qr_codes.from_picture(str(path))

    def test_text(self):
        text = qr_codes.as_text(RAW)
        assert qr_codes.from_text(f" {text[:40]}\n{text[40:]} ") == RAW
        with pytest.raises(BadKeys):
            qr_codes.from_text("no code!")

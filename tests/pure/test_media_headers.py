"""What is said about files, and which part of them is wanted."""

import pytest

from mediarepo.headers import clean_type, disposition
from mediarepo.ranges import NotSatisfiable, Span, is_unchanged, wanted_span

ETAG = '"abc"'
AT_MS = 1_732_000_000_999
DATE = "Tue, 19 Nov 2024 07:06:40 GMT"
EARLIER = "Tue, 19 Nov 2024 07:06:39 GMT"


class TestDisposition:
    """C-S API v1.19 "Serving inline content"; RFC 6266, RFC 8187."""

    @pytest.mark.parametrize(
        "kind", ["image/png", "IMAGE/PNG", "text/plain; charset=utf-8", "video/mp4", "audio/x-flac"]
    )
    def test_what_is_safe_is_shown(self, kind):
        assert disposition(kind, None) == "inline"

    @pytest.mark.parametrize(
        "kind",
        ["image/svg+xml", "text/html", "application/pdf", "application/xhtml+xml", "x/y", ""],
    )
    def test_everything_else_is_an_attachment(self, kind):
        assert disposition(kind, None) == "attachment"

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("cat.png", "filename=cat.png"),
            ("a b.png", "filename*=utf-8''a%20b.png"),
            ('a"b', "filename*=utf-8''a%22b"),
            ("世界.txt", "filename*=utf-8''%E4%B8%96%E7%95%8C.txt"),
            ("مرحبا", "filename*=utf-8''%D9%85%D8%B1%D8%AD%D8%A8%D8%A7"),
            ("a\r\nSet-Cookie: x", "filename*=utf-8''a%0D%0ASet-Cookie%3A%20x"),
            ("../../etc/passwd", "filename*=utf-8''..%2F..%2Fetc%2Fpasswd"),
        ],
    )
    def test_a_name_in_any_script_is_told_and_breaks_nothing(self, name, said):
        assert disposition("image/png", name) == f"inline; {said}"


class TestContentType:
    @pytest.mark.parametrize(
        "given",
        ["image/png", "text/plain; charset=utf-8", 'a/b;x="y z"', "application/vnd.x+json"],
    )
    def test_a_type_is_repeated_as_it_is(self, given):
        assert clean_type(given) == given

    @pytest.mark.parametrize(
        "given", [None, "", "png", "a/b\r\nX: y", "a/b; c", "a/", "ü/x", "a/" + "b" * 300]
    )
    def test_what_is_none_is_just_a_file(self, given):
        assert clean_type(given) == "application/octet-stream"


class TestRanges:
    """RFC 9110, 14."""

    @pytest.mark.parametrize(
        ("wanted", "span"),
        [
            ("bytes=0-0", Span(0, 1)),
            ("bytes=2-", Span(2, 10)),
            ("bytes=2-99", Span(2, 10)),
            ("bytes=-3", Span(7, 10)),
            ("bytes=-99", Span(0, 10)),
            ("BYTES = 1 - 2", Span(1, 3)),
        ],
    )
    def test_a_part(self, wanted, span):
        assert wanted_span({"Range": wanted}, 10, ETAG, AT_MS) == span

    @pytest.mark.parametrize(
        "wanted",
        [
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "lines=1-2",
            "bytes=0-1,3-4",
            "bytes=a-b",
            "x",
            "bytes=1-" + "9" * 50,
        ],
    )
    def test_what_makes_no_sense_is_everything(self, wanted):
        assert wanted_span({"Range": wanted}, 10, ETAG, AT_MS) is None

    @pytest.mark.parametrize(
        ("wanted", "size"),
        [
            ("bytes=10-", 10),
            ("bytes=99-100", 10),
            ("bytes=-0", 10),
            ("bytes=0-", 0),
            ("bytes=-1", 0),
        ],
    )
    def test_what_is_not_there(self, wanted, size):
        with pytest.raises(NotSatisfiable):
            wanted_span({"Range": wanted}, size, ETAG, AT_MS)

    @pytest.mark.parametrize(
        ("condition", "is_part"),
        [
            (ETAG, True),
            ('"other"', False),
            ('W/"abc"', False),
            (DATE, True),
            (EARLIER, False),
            ("nonsense", False),
        ],
    )
    def test_a_part_of_the_same_file_only(self, condition, is_part):
        headers = {"Range": "bytes=0-0", "If-Range": condition}
        assert (wanted_span(headers, 10, ETAG, AT_MS) is not None) is is_part


class TestConditions:
    """RFC 9110, 13."""

    @pytest.mark.parametrize(
        ("headers", "unchanged"),
        [
            ({}, False),
            ({"If-None-Match": ETAG}, True),
            ({"If-None-Match": '"x", W/"abc"'}, True),
            ({"If-None-Match": "*"}, True),
            ({"If-None-Match": '"x"'}, False),
            ({"If-Modified-Since": DATE}, True),
            ({"If-Modified-Since": EARLIER}, False),
            ({"If-Modified-Since": "nonsense"}, False),
            ({"If-None-Match": '"x"', "If-Modified-Since": DATE}, False),
        ],
    )
    def test_what_the_client_has_need_not_be_sent(self, headers, unchanged):
        assert is_unchanged(headers, ETAG, AT_MS) is unchanged

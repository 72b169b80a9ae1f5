"""What pages say about themselves."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediarepo.previews import charsets, html, oembed, robots
from mediarepo.previews.page import MAX_TEXT_CHARS, Page, Robots, tidy

URL = "https://example.org/news/today.html"


def read(text: str, **more) -> Page:
    return html.read(text, url=URL, **more)


def meta(name: str, content: str) -> str:
    return f'<meta property="{name}" content="{content}">'


class TestProperties:
    def test_open_graph_is_taken_as_it_is(self):
        page = read(meta("og:title", "T &amp; t") + meta("og:site_name", "S") + meta("og:x", "no"))
        assert page.properties == {"og:title": "T & t", "og:site_name": "S"}

    def test_the_first_of_each_counts(self):
        assert read(meta("og:title", "1") + meta("og:title", "2")).properties["og:title"] == "1"

    def test_name_and_property_are_the_same(self):
        assert read('<meta name="OG:Title" content="T">').properties == {"og:title": "T"}

    @pytest.mark.parametrize(
        ("head", "title"),
        [
            (meta("twitter:title", "card") + "<title>x</title>", "card"),
            ("<title>\n plain  title </title><h1>x</h1>", "plain title"),
            ("<title>first</title><svg><title>second</title></svg>", "first"),
            ("<h1>only a <b>heading</b></h1>", "only a heading"),
            ("<title></title>", None),
        ],
    )
    def test_titles_in_their_order(self, head, title):
        assert read(head).properties.get("og:title") == title

    @pytest.mark.parametrize(
        ("text", "description"),
        [
            (meta("twitter:description", "card") + meta("description", "x"), "card"),
            (meta("description", "plain"), "plain"),
            (
                "<body><nav>menu</nav><p>words <i>of</i></p><script>no()</script> too",
                "words of too",
            ),
            ("<head><style>p{}</style></head><body><p>a</p> b <p>", "a b"),
        ],
    )
    def test_descriptions_in_their_order(self, text, description):
        assert read(text).properties.get("og:description") == description

    def test_no_text_is_longer_than_may_be(self):
        title = read(meta("og:title", "word " * 5000)).properties["og:title"]
        assert len(title) <= MAX_TEXT_CHARS
        assert title.endswith("…")

    def test_control_characters_go(self):
        assert tidy("a\x00b\u202ec\n\td") == "a b c d"

    @given(st.text())
    def test_no_page_breaks_it(self, text):
        read(text)

    @given(st.lists(st.sampled_from(["<", ">", "meta ", "'", '"', "/", "=", "title", "!--", "a "])))
    def test_nor_one_of_broken_tags(self, pieces):
        read("".join(pieces))

    @pytest.mark.parametrize("unit", ["<", "<!--", "<div>", "</div>", "<svg>", "<a b='", "<!", "&"])
    def test_a_page_without_end_has_one(self, unit):
        assert read("<title>t</title>" + unit * 300_000).properties["og:title"] == "t"


class TestAddressesInPages:
    @pytest.mark.parametrize(
        ("head", "image"),
        [
            (meta("og:image", "/a.png"), "https://example.org/a.png"),
            (meta("og:image", "a.png"), "https://example.org/news/a.png"),
            (meta("og:image", "//cdn.example.org/a.png"), "https://cdn.example.org/a.png"),
            ('<base href="/b/">' + meta("og:image", "a.png"), "https://example.org/b/a.png"),
            (meta("twitter:image", "http://x/t.png"), "http://x/t.png"),
            ('<link rel="image_src" href="/l.png">', "https://example.org/l.png"),
            (meta("og:image", "data:image/png;base64,AAAA"), ""),
            (meta("og:image", "javascript:alert(1)"), ""),
            (meta("og:image", "file:///etc/passwd"), ""),
            (meta("og:image", "http://[broken/"), ""),
            (meta("og:image", "/" + "a" * 3000), ""),
            ("<img src='/a.png'>", ""),
        ],
    )
    def test_images(self, head, image):
        assert read(head).image == image

    def test_the_address_of_a_page_is_absolute_or_left_out(self):
        assert read(meta("og:url", "/x")).properties["og:url"] == "https://example.org/x"
        assert "og:url" not in read(meta("og:url", "javascript:x")).properties

    def test_where_more_is_told(self):
        link = '<link rel="alternate" type="application/json+oembed" href="/oembed?url=1&amp;b=2">'
        assert read(link).oembed == "https://example.org/oembed?url=1&b=2"


class TestRobots:
    @pytest.mark.parametrize("words", ["noindex", "NoIndex, follow", "none", "all,none"])
    @pytest.mark.parametrize("name", ["robots", "foyer"])
    def test_of_a_page_that_wants_to_be_nowhere_nothing_is_told(self, words, name):
        page = read(f'<title>T</title><meta name="{name}" content="{words}">')
        assert (page.properties, page.image, page.robots.no_index) == ({}, "", True)

    def test_a_page_that_wants_no_snippet_has_a_title_only(self):
        page = read("<title>T</title>" + meta("description", "D") + meta("robots", "nosnippet"))
        assert page.properties == {"og:title": "T"}

    def test_a_page_whose_pictures_are_its_own_shows_none(self):
        page = read(meta("og:image", "/a.png") + meta("robots", "noimageindex"))
        assert page.image == ""

    def test_rules_for_others_are_for_others(self):
        page = read("<title>T</title>" + meta("googlebot", "noindex"))
        assert page.properties == {"og:title": "T"}

    def test_headers_count_as_well(self):
        assert read("<title>T</title>", headers=Robots(no_index=True)).properties == {}

    @pytest.mark.parametrize(
        ("header", "allowed"),
        [
            ("noindex", Robots(no_index=True)),
            ("noarchive, nosnippet", Robots(no_snippet=True)),
            ("max-snippet: 0", Robots(no_snippet=True)),
            ("max-snippet: 20", Robots()),
            ("max-image-preview:none", Robots(no_image=True)),
            ("googlebot: noindex", Robots()),
            ("foyer: noindex", Robots(no_index=True)),
            ("unavailable_after: 25 Jun 2010 15:00:00 PST", Robots()),
            ("", Robots()),
        ],
    )
    def test_what_headers_say(self, header, allowed):
        assert robots.of_headers([header]) == allowed

    def test_all_headers_count(self):
        assert robots.of_headers(["nosnippet", "noindex"]) == Robots(no_index=True, no_snippet=True)


class TestCharsets:
    @pytest.mark.parametrize(
        ("body", "declared", "text"),
        [
            ("Grüße".encode(), None, "Grüße"),
            ("Grüße".encode(), "utf-8", "Grüße"),
            ("Grüße".encode("latin-1"), None, "Grüße"),
            ("Grüße".encode("latin-1"), "ISO-8859-1", "Grüße"),
            ("“x”".encode("cp1252"), "iso-8859-1", "“x”"),
            ("Привет".encode("koi8-r"), "koi8-r", "Привет"),
            ("日本".encode("shift_jis"), "Shift_JIS", "日本"),
            ("日本".encode("shift_jis"), "x-sjis", "日本"),
            ("中文".encode("gb18030"), "gb2312", "中文"),
            ("x".encode("utf-16"), "utf-8", "x"),
            (b"\xef\xbb\xbfx", "koi8-r", "x"),
            (b"\xff", "utf-8", "\ufffd"),
            ("Grüße".encode()[:3], None, "Gr"),
            (b"x", "no-such-charset", "x"),
            (b"x", "idna", "x"),
            (b"x", "zlib", "x"),
            (b"x", "unicode_escape", "x"),
            (b"x", "x" * 500, "x"),
            (b"x", "\0", "x"),
        ],
    )
    def test_the_text_of_a_page(self, body, declared, text):
        assert charsets.decode(body, declared=declared) == text

    @pytest.mark.parametrize(
        "tag",
        [
            b'<meta charset="koi8-r">',
            b"<META CHARSET=koi8-r>",
            b'<meta http-equiv="Content-Type" content="text/html; charset=koi8-r">',
        ],
    )
    def test_a_page_may_say_it_itself(self, tag):
        assert "Привет" in charsets.decode(tag + "Привет".encode("koi8-r"), declared=None)

    def test_what_was_sent_with_it_counts_more(self):
        body = b'<meta charset="koi8-r">' + "ü".encode()
        assert "ü" in charsets.decode(body, declared="utf-8")

    @given(st.binary(), st.one_of(st.none(), st.text(max_size=20)))
    def test_there_is_always_some(self, body, declared):
        charsets.decode(body, declared=declared)


class TestOEmbed:
    def told(self, **fields) -> Page:
        return oembed.read(orjson.dumps(fields), url=URL)

    def test_a_video(self):
        page = self.told(
            type="video", title="T", provider_name="P", author_name="A", thumbnail_url="/t.jpg"
        )
        assert page.properties == {
            "og:title": "T",
            "og:site_name": "P",
            "article:author": "A",
        }
        assert page.image == "https://example.org/t.jpg"

    def test_a_photo_is_its_own_picture(self):
        assert self.told(type="photo", url="/p.jpg").image == "https://example.org/p.jpg"
        assert self.told(type="link", url="/p.jpg").image == ""

    def test_the_words_of_what_is_rich(self):
        page = self.told(type="rich", html="<blockquote><p>Some <b>words</b></p></blockquote>")
        assert page.properties == {"og:description": "Some words"}

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b'{"title": 7, "type": []}'])
    def test_anything_else_says_nothing(self, body):
        assert oembed.read(body, url=URL) == Page()

    def test_what_the_page_says_comes_first(self):
        page = Page(properties={"og:title": "page"}, image="http://a/")
        told = Page(properties={"og:title": "told", "og:site_name": "S"}, image="http://b/")
        merged = oembed.merge(page, told)
        assert merged.properties == {"og:title": "page", "og:site_name": "S"}
        assert merged.image == "http://a/"

    def test_robots_of_the_page_still_count(self):
        page = Page(robots=Robots(no_snippet=True, no_image=True))
        told = Page(properties={"og:description": "D", "og:title": "T"}, image="http://b/")
        merged = oembed.merge(page, told)
        assert (merged.properties, merged.image) == ({"og:title": "T"}, "")

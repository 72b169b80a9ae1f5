"""Small files in memory. Source: docs/MEDIA.md, "Files"."""

from mediarepo.small_files import LARGEST_BYTES, SmallFiles


def files(**limits: int) -> SmallFiles:
    return SmallFiles(**limits)


class TestSmallFiles:
    def test_what_was_put_there_is_found_again(self):
        kept = files()
        kept.put(b"hash", b"data")
        assert (kept.get(b"hash"), kept.get(b"other")) == (b"data", None)

    def test_large_ones_are_not_kept(self):
        kept = files()
        kept.put(b"small", bytes(LARGEST_BYTES))
        kept.put(b"large", bytes(LARGEST_BYTES + 1))
        assert kept.get(b"small") is not None
        assert kept.get(b"large") is None

    def test_those_go_first_that_nobody_asks_for(self):
        kept = files(max_bytes=30)
        for name in (b"1", b"2", b"3"):
            kept.put(name, bytes(10))
        kept.get(b"1")
        kept.put(b"4", bytes(10))
        assert [kept.get(name) is None for name in (b"1", b"2", b"3", b"4")] == [
            False,
            True,
            False,
            False,
        ]

    def test_the_same_file_counts_once(self):
        kept = files(max_bytes=20)
        for name in (b"1", b"2", b"2", b"2"):
            kept.put(name, bytes(10))
        assert kept.get(b"1") is not None

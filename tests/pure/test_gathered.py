"""What is gathered for a device in memory, and when it is looked up instead."""

from homeserver.identifiers import UserID
from homeserver.storage.one_time_keys import Stock
from homeserver.storage.to_device import ToDeviceRow
from homeserver.sync.encryption_news import EncryptionNews
from homeserver.sync.gathered import MAX_BYTES, MAX_PEOPLE, Gathered
from homeserver.sync.token import SyncToken

BOB = UserID("@bob:example.org")
STOCK = Stock({}, ())
SINCE = SyncToken(events=5, to_device=5, device_lists=5)
NOW = SyncToken(events=9, to_device=90, device_lists=9)


def gathered() -> Gathered:
    """Of a device that was told everything."""
    fresh = Gathered()
    fresh.read_all()
    return fresh


def row(position: int, size: int = 2) -> ToDeviceRow:
    return ToDeviceRow(position, 1, 1, b"x" * size)


def taken(each: Gathered, *, max_bytes: int = MAX_BYTES) -> EncryptionNews:
    return each.take(SINCE, NOW, STOCK, max_bytes=max_bytes)


class TestMessages:
    def test_they_are_told_once_up_to_where_the_stream_stands(self):
        each = gathered()
        each.hears(row(7))
        news = taken(each)
        assert (len(news.to_device), news.token.to_device) == (1, 90)
        assert each.is_empty

    def test_what_was_told_from_the_database_is_not_told_again(self):
        each = gathered()
        each.hears(row(4))
        each.hears(row(6))
        assert len(taken(each).to_device) == 1

    def test_what_does_not_fit_comes_next(self):
        each = gathered()
        for position in (6, 7, 8):
            each.hears(row(position, 10))
        news = taken(each, max_bytes=20)
        assert (len(news.to_device), news.token.to_device) == (2, 7)
        assert not each.is_empty
        assert len(taken(each, max_bytes=1).to_device) == 1

    def test_many_or_large_ones_are_looked_up(self):
        for rows in ([row(6 + number) for number in range(101)], [row(6, MAX_BYTES + 1)]):
            each = gathered()
            for one in rows:
                each.hears(one)
            assert each.must_read
            each.hears(row(1000))
            assert taken(each).to_device == []


class TestPeople:
    def test_who_comes_back_has_not_left(self):
        each = gathered()
        each.hears_no_more_of(BOB)
        each.hears_of(BOB)
        assert taken(each).device_lists.changed == {BOB}
        assert each.is_empty

    def test_who_leaves_is_not_looked_at(self):
        each = gathered()
        each.hears_of(BOB)
        each.hears_no_more_of(BOB)
        lists = taken(each).device_lists
        assert (lists.changed, lists.left) == (frozenset(), {BOB})

    def test_a_crowd_is_looked_up(self):
        for hears in ("hears_of", "hears_no_more_of"):
            each = gathered()
            for number in range(MAX_PEOPLE + 1):
                getattr(each, hears)(UserID(f"@{number}:example.org"))
            assert each.must_read


class TestTokens:
    def test_no_stream_goes_back(self):
        """The database may have been read farther than this process has heard."""
        behind = SyncToken(events=1, to_device=1, device_lists=1)
        assert gathered().take(SINCE, behind, STOCK, max_bytes=1).token == SINCE

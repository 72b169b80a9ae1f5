"""Numbered changes of what lives in memory."""

from homeserver.streams.serials import Serials


class TestSerials:
    def test_what_changed_after_a_number_is_known(self):
        serials = Serials(kept=10)
        serials.changed([1])
        serials.changed([2, 3])
        assert serials.position == 2
        assert [serials.since(position) for position in (0, 1, 2)] == [{1, 2, 3}, {2, 3}, set()]

    def test_numbers_that_never_were_are_not_known(self):
        serials = Serials(kept=10)
        assert serials.since(1) is None
        assert serials.since(-1) is None

    def test_only_so_many_are_kept(self):
        serials = Serials(kept=2)
        for thing in (1, 2, 3):
            serials.changed([thing])
        assert serials.since(0) is None
        assert serials.since(1) == {2, 3}

    def test_of_those_that_changed_together_all_are_kept_or_it_is_not_known(self):
        serials = Serials(kept=2)
        serials.changed([1, 2])
        serials.changed([3])
        assert serials.since(0) is None
        assert serials.since(1) == {3}

    def test_more_at_once_than_are_kept_are_not_known(self):
        serials = Serials(kept=2)
        serials.changed([1, 2, 3])
        assert serials.since(0) is None
        assert serials.since(1) == set()

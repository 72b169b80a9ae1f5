"""Links that stand in for tokens. Source: decision 0007."""

import pytest

from homeserver.errors import NotAllowed
from homeserver.identifiers import ServerName
from mediarepo.addresses import MediaAddress
from mediarepo.links import LIFETIME_S, Links
from tests.support.office import ManualClock

CAT = MediaAddress(ServerName("example.org"), "cat")
DOG = MediaAddress(ServerName("example.org"), "dog")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def links(clock) -> Links:
    return Links(key=b"k" * 32, clock=clock)


class TestLinks:
    def test_a_link_says_whom_it_is_for(self, links):
        assert links.read(CAT, links.make(CAT, 7)) == 7

    def test_it_opens_nothing_else(self, links):
        with pytest.raises(NotAllowed):
            links.read(DOG, links.make(CAT, 7))

    def test_it_ends(self, links, clock):
        link = links.make(CAT, 7)
        clock.ms += LIFETIME_S * 1000 - 1
        assert links.read(CAT, link) == 7
        clock.ms += 1
        with pytest.raises(NotAllowed, match="expired"):
            links.read(CAT, link)

    def test_another_key_makes_other_links(self, links, clock):
        with pytest.raises(NotAllowed):
            links.read(CAT, Links(key=b"j" * 32, clock=clock).make(CAT, 7))

    @pytest.mark.parametrize(
        "change",
        [
            lambda user, ends, code: f"8.{ends}.{code}",
            lambda user, ends, code: f"{user}.{int(ends) + 1}.{code}",
            lambda user, ends, code: f"{user}.{ends}.{code[:-1]}",
            lambda user, ends, code: f"{user}.{ends}.{code[::-1]}",
            lambda user, ends, code: f"0{user}.{ends}.{code}ä",
            lambda user, ends, code: "",
        ],
    )
    def test_what_was_changed_opens_nothing(self, links, change):
        with pytest.raises(NotAllowed):
            links.read(CAT, change(*links.make(CAT, 7).split(".")))

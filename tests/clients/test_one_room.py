"""One room, two people, the same play with each client; then everybody in one room."""

from collections.abc import Sequence

import pytest

from tests.clients.client import Client, all_show
from tests.clients.stage import MATRIX, Stage

ROOM = "Lunch"
KINDS = (*MATRIX, "sliding", "native")


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    """The client that both have."""
    return request.param


@pytest.fixture
async def pair(on: Stage, kind: str) -> tuple[Client, Client]:
    """Two people with the same client, alone in a room."""
    alice, bob = await on.cast(kind, kind)
    await on.room(ROOM, (alice, bob))
    return alice, bob


class TestMembership:
    async def test_who_is_invited_comes_and_is_seen(self, pair):
        _, bob = pair
        await bob.shows([ROOM], "rooms")
        await bob.shows([], "invitations")

    async def test_who_leaves_is_gone(self, pair):
        alice, bob = pair
        await bob.leaves(ROOM)
        await bob.shows([], "rooms")
        await alice.shows([alice.name], "members", ROOM)

    async def test_who_is_removed_hears_of_it_and_of_nothing_more(self, pair):
        alice, bob = pair
        await alice.removes(ROOM, bob)
        await bob.shows([], "rooms")
        await alice.shows([alice.name], "members", ROOM)

    async def test_who_was_removed_may_be_invited_again(self, pair):
        alice, bob = pair
        await alice.removes(ROOM, bob)
        await bob.shows([], "rooms")
        await alice.invites(ROOM, bob)
        await bob.shows([ROOM], "invitations")
        await bob.accepts(ROOM)
        await alice.shows(sorted([alice.name, bob.name]), "members", ROOM)


class TestMessages:
    async def test_what_is_said_is_shown_in_order(self, pair):
        alice, bob = pair
        await alice.says(ROOM, "one")
        await bob.shows(["one"], "texts", ROOM)
        await bob.says(ROOM, "two")
        await all_show(pair, ["one", "two"], "texts", ROOM)

    async def test_an_edit_replaces_the_text(self, pair):
        alice, _ = pair
        await alice.says(ROOM, "teh")
        await all_show(pair, ["teh"], "texts", ROOM)
        await alice.edits(ROOM, "teh", "the")
        await all_show(pair, ["the"], "texts", ROOM)

    async def test_a_reply_names_what_it_replies_to(self, pair):
        alice, bob = pair
        await alice.says(ROOM, "where?")
        await bob.shows(["where?"], "texts", ROOM)
        await bob.replies(ROOM, "where?", "here")
        await all_show(pair, ["where?", "here"], "texts", ROOM)
        await all_show(pair, "where?", "replied_to", ROOM, "here")

    async def test_a_thread_stands_beside_the_timeline(self, pair):
        alice, bob = pair
        await alice.says(ROOM, "root")
        await bob.shows(["root"], "texts", ROOM)
        await bob.says_in_thread(ROOM, "root", "aside")
        await all_show(pair, ["aside"], "thread", ROOM, "root")
        await all_show(pair, ["root"], "texts", ROOM)

    async def test_reactions_are_counted_and_taken_back(self, pair):
        alice, bob = pair
        await alice.says(ROOM, "cake")
        await bob.shows(["cake"], "texts", ROOM)
        await bob.reacts(ROOM, "cake", "👍")
        await all_show(pair, {"👍": 1}, "reactions", ROOM, "cake")
        await alice.reacts(ROOM, "cake", "👍")
        await all_show(pair, {"👍": 2}, "reactions", ROOM, "cake")
        await bob.takes_back(ROOM, "cake", "👍")
        await all_show(pair, {"👍": 1}, "reactions", ROOM, "cake")

    async def test_what_is_deleted_disappears(self, pair):
        alice, _ = pair
        await alice.says(ROOM, "oops")
        await alice.says(ROOM, "hello")
        await all_show(pair, ["oops", "hello"], "texts", ROOM)
        await alice.deletes(ROOM, "oops")
        await all_show(pair, ["hello"], "texts", ROOM)

    async def test_a_topic_is_shown(self, pair):
        alice, _ = pair
        await alice.sets_topic(ROOM, "food")
        await all_show(pair, "food", "topic", ROOM)


class TestOfTheMoment:
    async def test_who_reads_is_seen_and_has_nothing_unread(self, pair):
        alice, bob = pair
        await alice.says(ROOM, "one")
        await alice.says(ROOM, "two")
        await bob.shows(["one", "two"], "texts", ROOM)
        await bob.shows(2, "unread", ROOM)
        await bob.reads(ROOM, "one")
        await alice.shows(True, "has_read", ROOM, bob.name, "one")
        await bob.shows(1, "unread", ROOM)
        assert not await alice.has_read(ROOM, bob.name, "two")
        await bob.reads(ROOM, "two")
        await alice.shows(True, "has_read", ROOM, bob.name, "two")
        await bob.shows(0, "unread", ROOM)

    async def test_who_writes_is_shown_until_they_stop(self, pair):
        alice, bob = pair
        await bob.types(ROOM)
        await alice.shows([bob.name], "writing", ROOM)
        await bob.stops_typing(ROOM)
        await alice.shows([], "writing", ROOM)

    async def test_presence_is_shown(self, pair, kind):
        if kind == "sliding":
            pytest.skip("sliding sync tells no presence (MSC4186)")
        alice, bob = pair
        await alice.shows("online", "presence", bob.name)
        await bob.is_now("unavailable")
        await alice.shows("unavailable", "presence", bob.name)


class TestComingBack:
    async def test_a_new_session_shows_what_there_is(self, on, kind):
        if kind == "native":
            pytest.skip("what the native client has not heard it looks up over REST")
        alice, bob = await on.cast(kind, kind)
        await on.room(ROOM, (alice, bob))
        await alice.says(ROOM, "teh")
        await all_show((alice, bob), ["teh"], "texts", ROOM)
        await alice.edits(ROOM, "teh", "the")
        await bob.shows(["the"], "texts", ROOM)
        await bob.reacts(ROOM, "the", "👍")
        await alice.shows({"👍": 1}, "reactions", ROOM, "the")
        again = await on.comes_back(kind, alice)
        await again.shows([ROOM], "rooms")
        await again.shows(["the"], "texts", ROOM)
        await again.shows({"👍": 1}, "reactions", ROOM, "the")
        await again.shows(sorted([alice.name, bob.name]), "members", ROOM)


class TestEverybody:
    """A client of every kind in one room; what each does is on every screen."""

    @pytest.fixture
    async def people(self, on: Stage) -> Sequence[Client]:
        people = await on.cast(*KINDS)
        await on.room(ROOM, people)
        return people

    async def test_everybody_speaks_and_is_heard(self, people):
        said = []
        for each in people:
            said.append(f"I am {each.name}")
            await each.says(ROOM, said[-1])
            await all_show(people, said, "texts", ROOM)

    async def test_everybody_edits_reacts_replies_and_deletes(self, people):
        said = []
        for each in people:
            old, new = f"a tyop by {each.name}", f"a typo by {each.name}"
            await each.says(ROOM, old)
            await all_show(people, [*said, old], "texts", ROOM)
            await each.edits(ROOM, old, new)
            said.append(new)
            await all_show(people, said, "texts", ROOM)
        for number, each in enumerate(people, 1):
            await each.reacts(ROOM, said[0], "🎉")
            await all_show(people, {"🎉": number}, "reactions", ROOM, said[0])
        for each in people:
            answer = f"an answer of {each.name}"
            await each.replies(ROOM, said[0], answer)
            said.append(answer)
            await all_show(people, said, "texts", ROOM)
            await all_show(people, said[0], "replied_to", ROOM, answer)
        for each in people:
            await each.takes_back(ROOM, said[0], "🎉")
        await all_show(people, {}, "reactions", ROOM, said[0])
        for each in people:
            said.remove(f"an answer of {each.name}")
            await each.deletes(ROOM, f"an answer of {each.name}")
            await all_show(people, said, "texts", ROOM)

    async def test_everybody_speaks_in_a_thread(self, people):
        await people[0].says(ROOM, "root")
        await all_show(people, ["root"], "texts", ROOM)
        said = []
        for each in people:
            said.append(f"aside of {each.name}")
            await each.says_in_thread(ROOM, "root", said[-1])
            await all_show(people, said, "thread", ROOM, "root")
        await all_show(people, ["root"], "texts", ROOM)

    async def test_everybody_reads_and_writes(self, people):
        first, *others = people
        await first.says(ROOM, "read this")
        await all_show(people, ["read this"], "texts", ROOM)
        for each in others:
            await each.shows(1, "unread", ROOM)
            await each.reads(ROOM, "read this")
            await each.shows(0, "unread", ROOM)
            rest = [person for person in people if person is not each]
            await all_show(rest, True, "has_read", ROOM, each.name, "read this")
        for each in people:
            rest = [person for person in people if person is not each]
            await each.types(ROOM)
            await all_show(rest, [each.name], "writing", ROOM)
            await each.stops_typing(ROOM)
            await all_show(rest, [], "writing", ROOM)

    async def test_everybody_sees_the_topic_and_who_goes(self, people):
        await people[0].sets_topic(ROOM, "food")
        await all_show(people, "food", "topic", ROOM)
        for number in range(len(people) - 1, 0, -1):
            going = people[number]
            await (people[0].removes(ROOM, going) if number % 2 else going.leaves(ROOM))
            await going.shows([], "rooms")
            remaining = sorted(each.name for each in people[:number])
            await all_show(people[:number], remaining, "members", ROOM)

"""What matrix-js-sdk, and so Element, has of its own: spaces, search, lists of threads, pages."""

import pytest

from tests.clients.client import all_show
from tests.clients.js_client import JsClient
from tests.clients.stage import Stage
from tests.support.play import eventually

ROOM = "Lunch"


@pytest.fixture
async def pair(on: Stage) -> tuple[JsClient, JsClient]:
    alice, bob = await on.cast("js", "js")
    await on.room(ROOM, (alice, bob))
    return alice, bob


class TestSpaces:
    async def test_a_space_shows_its_rooms(self, on):
        (alice,) = await on.cast("js")
        await alice.creates("Office", creation_content={"type": "m.space"})
        for room in ("Tea", "Coffee"):
            await alice.creates(room)
            await alice.asks("addsToSpace", "Office", room)
        assert await alice.asks("hierarchy", "Office") == ["Coffee", "Office", "Tea"]


class TestSearch:
    async def test_words_are_found_in_messages(self, pair):
        alice, bob = pair
        for text in ("apples are green", "pears are yellow", "no fruit"):
            await alice.says(ROOM, text)
        await bob.shows(["apples are green", "pears are yellow", "no fruit"], "texts", ROOM)
        # Words are in the index a moment after the message.
        assert await eventually(lambda: bob.asks("finds", "pears")) == ["pears are yellow"]
        assert await bob.asks("finds", "melons") == []

    async def test_people_are_found_by_name(self, pair):
        alice, bob = pair
        found = await alice.asks("calls", "searchUserDirectory", {"term": bob.name})
        assert bob.user_id in [each["user_id"] for each in found["results"]]


class TestThreads:
    async def test_the_list_of_threads_has_them_all(self, pair):
        alice, bob = pair
        for root in ("one", "two"):
            await alice.says(ROOM, root)
            await all_show(pair, root, "last", ROOM)
            await bob.says_in_thread(ROOM, root, f"about {root}")
            await all_show(pair, [f"about {root}"], "thread", ROOM, root)
        again = await _comes_back(alice)
        assert await again.asks("listsThreads", ROOM) == ["one", "two"]

    async def test_a_thread_has_its_own_count_of_what_is_unread(self, pair):
        alice, bob = pair
        await alice.says(ROOM, "root")
        await bob.shows(["root"], "texts", ROOM)
        await bob.reads(ROOM, "root")
        await bob.shows(0, "unread", ROOM)
        await alice.says_in_thread(ROOM, "root", "aside")
        await bob.shows(["aside"], "thread", ROOM, "root")
        await bob.shows(1, "unread_in_thread", ROOM, "root")

    async def test_who_is_mentioned_is_highlighted(self, pair):
        alice, bob = pair
        await alice.says(ROOM, f"hello {bob.localpart}")
        await bob.shows(1, "unread", ROOM)
        await alice.asks("mentions", ROOM, bob.user_id, "look here")
        await bob.shows(2, "unread", ROOM)
        assert await bob.asks("highlights", ROOM) >= 1


class TestTimelines:
    async def test_older_messages_come_in_pages(self, pair):
        alice, _ = pair
        said = [f"message {number}" for number in range(45)]
        for text in said:
            await alice.says(ROOM, text)
        again = await _comes_back(alice)
        await again.shows(said[-20:], "texts", ROOM)
        while len(await again.texts(ROOM)) < len(said):
            await again.asks("goesBack", ROOM)
        assert await again.texts(ROOM) == said

    async def test_a_moment_leads_to_a_message(self, pair):
        alice, _ = pair
        await alice.says(ROOM, "now")
        await alice.shows(["now"], "texts", ROOM)
        assert await alice.asks("messageAt", ROOM, "now") == "now"


class TestAccount:
    async def test_a_profile_is_what_everybody_sees(self, pair):
        alice, bob = pair
        await alice.asks("calls", "setDisplayName", "Alice the Great")
        await bob.shows(sorted(["Alice the Great", bob.name]), "members", ROOM)
        profile = await bob.asks("calls", "getProfileInfo", alice.user_id)
        assert profile["displayname"] == "Alice the Great"

    async def test_account_data_comes_back_by_sync(self, pair):
        alice, _ = pair
        await alice.asks("calls", "setAccountData", "org.example.colour", {"colour": "blue"})
        again = await _comes_back(alice)
        assert await again.asks("accountData", "org.example.colour") == {"colour": "blue"}

    async def test_push_rules_are_there_and_can_be_added(self, pair):
        alice, _ = pair
        rule = {"pattern": "cake", "actions": ["notify", {"set_tweak": "highlight"}]}
        await alice.asks("calls", "addPushRule", "global", "content", "cake", rule)
        rules = await alice.asks("calls", "getPushRules")
        assert rules["global"]["content"][0]["rule_id"] == "cake"
        assert ".m.rule.master" in [each["rule_id"] for each in rules["global"]["override"]]

    async def test_capabilities_and_versions_are_what_it_looks_for(self, pair):
        alice, _ = pair
        capabilities = await alice.asks("calls", "getCapabilities")
        assert capabilities["m.room_versions"]["available"]["12"] == "stable"
        assert await alice.asks("calls", "isVersionSupported", "v1.11")

    async def test_rooms_are_found_in_the_directory(self, on):
        alice, bob = await on.cast("js", "js")
        room = f"Square {on.tag}"
        await alice.creates(room, preset="public_chat", visibility="public")
        found = await bob.asks("calls", "publicRooms", {"filter": {"generic_search_term": room}})
        assert [each["name"] for each in found["chunk"]] == [room]
        await bob.asks("joins", found["chunk"][0]["room_id"])
        await bob.has(room)


async def _comes_back(person: JsClient) -> JsClient:
    """The same client, that has forgotten everything but the password."""
    await person.asks("stops")
    await person.logs_in()
    await person.starts()
    return person

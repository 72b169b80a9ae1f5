"""What relates to events: relations, threads, and what hangs on events."""

import pytest

from tests.support.matrix_server import MatrixUser, q

MESSAGE = "m.room.message"


@pytest.fixture
async def room(alice: MatrixUser, bob: MatrixUser) -> str:
    """A public room with both."""
    room = await alice.creates_room(preset="public_chat")
    await bob.joins(room)
    return room


async def relates(
    user: MatrixUser, room: str, parent: str, rel_type: str, text: str = "x", **more: object
) -> str:
    content = {"msgtype": "m.text", "body": text, **more}
    content["m.relates_to"] = {"rel_type": rel_type, "event_id": parent}
    return await user.sends(room, MESSAGE, content)


async def reacts(user: MatrixUser, room: str, parent: str, key: str) -> str:
    relation = {"rel_type": "m.annotation", "event_id": parent, "key": key}
    return await user.sends(room, "m.reaction", {"m.relates_to": relation})


async def ignores(user: MatrixUser, other: MatrixUser) -> None:
    path = f"v3/user/{q(user.user_id)}/account_data/m.ignored_user_list"
    await user.put(path, {"ignored_users": {other.user_id: {}}})


async def redacts(user: MatrixUser, room: str, event_id: str) -> None:
    await user.put(f"v3/rooms/{q(room)}/redact/{q(event_id)}/r{event_id[1:9]}")


def children(room: str, parent: str, *more: str) -> str:
    return "/".join([f"v1/rooms/{q(room)}/relations/{q(parent)}", *map(q, more)])


async def ids(user: MatrixUser, path: str, **query: object) -> list[str]:
    return [each["event_id"] for each in (await user.get(path, **query))["chunk"]]


async def bundle(user: MatrixUser, room: str, event_id: str) -> dict:
    """What hangs on an event."""
    event = await user.get(f"v3/rooms/{q(room)}/event/{q(event_id)}")
    return event["unsigned"].get("m.relations", {})


class TestGetRelatingEvents:
    async def test_all_children_the_newest_first(self, alice, bob, room) -> None:
        parent = await alice.says(room, "hello")
        reply = await relates(bob, room, parent, "m.thread")
        reaction = await reacts(bob, room, parent, "+")
        assert await ids(alice, children(room, parent)) == [reaction, reply]
        assert await ids(alice, children(room, parent), dir="f") == [reply, reaction]

    async def test_children_of_a_kind_and_a_type(self, alice, bob, room) -> None:
        parent = await alice.says(room, "hello")
        reply = await relates(bob, room, parent, "m.thread")
        reaction = await reacts(bob, room, parent, "+")
        assert await ids(alice, children(room, parent, "m.thread")) == [reply]
        assert await ids(alice, children(room, parent, "m.annotation", "m.reaction")) == [reaction]
        assert await ids(alice, children(room, parent, "m.annotation", MESSAGE)) == []
        for odd in ("\0", "-m.thread", "redaction", "x" * 1_000):
            assert await ids(alice, children(room, parent, odd)) == []

    async def test_pages(self, alice, room) -> None:
        parent = await alice.says(room, "hello")
        sent = [await relates(alice, room, parent, "m.thread", str(n)) for n in range(5)]
        for direction, expected in (("b", sent[::-1]), ("f", sent)):
            found, query = [], {"dir": direction, "limit": 2}
            while True:
                page = await alice.get(children(room, parent), **query)
                assert ("prev_batch" in page) == ("from" in query)
                found += [each["event_id"] for each in page["chunk"]]
                if "next_batch" not in page:
                    break
                query["from"] = page["next_batch"]
            assert found == expected

    async def test_a_page_ends_at_to(self, alice, room) -> None:
        parent = await alice.says(room, "hello")
        sent = [await relates(alice, room, parent, "m.thread", str(n)) for n in range(3)]
        page = await alice.get(children(room, parent), limit=1)
        rest = await ids(alice, children(room, parent), dir="f", to=page["next_batch"])
        assert rest == sent[:2]

    async def test_children_of_children(self, alice, bob, room) -> None:
        parent = await alice.says(room, "hello")
        reply = await relates(bob, room, parent, "m.thread")
        reaction = await reacts(alice, room, reply, "+")
        path = children(room, parent)
        page = await alice.get(path, recurse="true")
        assert [each["event_id"] for each in page["chunk"]] == [reaction, reply]
        assert page["recursion_depth"] == 3
        assert "recursion_depth" not in await alice.get(path)
        assert await ids(alice, path) == [reply]
        # "whose only relation … is through a non-matching intermediate event"
        assert await ids(alice, children(room, parent, "m.annotation"), recurse="true") == []

    async def test_events_that_relate_to_each_other_end(self, alice, room) -> None:
        parent = await alice.says(room, "hello")
        event = parent
        for _ in range(5):
            event = await relates(alice, room, event, "org.example.chain")
        assert len(await ids(alice, children(room, parent), recurse="true")) == 3

    async def test_what_is_redacted_relates_to_nothing(self, alice, bob, room) -> None:
        parent = await alice.says(room, "hello")
        await redacts(bob, room, await reacts(bob, room, parent, "+"))
        assert await ids(alice, children(room, parent)) == []

    async def test_the_ignored_are_left_out(self, alice, bob, room) -> None:
        parent = await alice.says(room, "hello")
        await reacts(bob, room, parent, "+")
        await ignores(alice, bob)
        assert await ids(alice, children(room, parent)) == []
        assert len(await ids(bob, children(room, parent))) == 1

    async def test_who_left_sees_what_he_could(self, alice, bob, room) -> None:
        parent = await alice.says(room, "hello")
        before = await reacts(alice, room, parent, "+")
        await bob.post(f"v3/rooms/{q(room)}/leave")
        await reacts(alice, room, parent, "-")
        assert await ids(bob, children(room, parent)) == [before]

    async def test_a_parent_that_one_may_not_see_is_not_found(self, server, alice, room) -> None:
        carol = await server.registers("carol")
        parent = await alice.says(room, "hello")
        code = await carol.is_refused("GET", children(room, parent), status=404)
        assert code == "M_NOT_FOUND"
        for path in (children(room, "$nothing"), children("!nowhere:example.org", parent)):
            assert await alice.is_refused("GET", path, status=404) == "M_NOT_FOUND"

    @pytest.mark.parametrize(
        "query", [{"dir": "x"}, {"from": "x"}, {"to": "x"}, {"limit": "x"}, {"recurse": "x"}]
    )
    async def test_wrong_parameters_are_refused(self, alice, room, query) -> None:
        parent = await alice.says(room, "hello")
        path = children(room, parent)
        assert await alice.is_refused("GET", path, status=400, **query) == "M_INVALID_PARAM"


class TestAggregations:
    """C-S API v1.19 "Aggregations of child events"."""

    async def test_nothing_hangs_on_an_event_without_children(self, alice, room) -> None:
        assert await bundle(alice, room, await alice.says(room, "hello")) == {}

    async def test_reactions_are_not_aggregated(self, alice, bob, room) -> None:
        event_id = await alice.says(room, "hello")
        await reacts(bob, room, event_id, "+")
        assert await bundle(alice, room, event_id) == {}

    async def test_references_are_listed(self, alice, bob, room) -> None:
        event_id = await alice.says(room, "hello")
        found = [await relates(each, room, event_id, "m.reference") for each in (alice, bob)]
        chunk = [{"event_id": each} for each in found]
        assert await bundle(alice, room, event_id) == {"m.reference": {"chunk": chunk}}

    async def test_a_thread_is_summed_up(self, server, alice, bob, room) -> None:
        carol = await server.registers("carol")
        await carol.joins(room)
        root = await alice.says(room, "hello")
        await relates(bob, room, root, "m.thread", "one")
        latest = await relates(bob, room, root, "m.thread", "two")
        edit = await relates(
            bob, room, latest, "m.replace", "* 2", **{"m.new_content": {"body": "2"}}
        )
        thread = (await bundle(carol, room, root))["m.thread"]
        assert thread["count"] == 2
        assert thread["current_user_participated"] is False
        assert thread["latest_event"]["event_id"] == latest
        below = thread["latest_event"]["unsigned"]["m.relations"]
        assert below["m.replace"]["event_id"] == edit
        for user in (alice, bob):
            thread = (await bundle(user, room, root))["m.thread"]
            assert thread["current_user_participated"] is True

    async def test_a_thread_stays_on_a_redacted_root_and_edits_do_not(self, alice, room) -> None:
        root = await alice.says(room, "hello")
        await relates(alice, room, root, "m.thread")
        await relates(alice, room, root, "m.replace", **{"m.new_content": {"body": "x"}})
        await redacts(alice, room, root)
        assert set(await bundle(alice, room, root)) == {"m.thread"}

    async def test_a_redacted_edit_leaves_the_one_before_it(self, alice, room) -> None:
        event_id = await alice.says(room, "a")
        new = {"m.new_content": {"body": "b"}}
        first = await relates(alice, room, event_id, "m.replace", "b", **new)
        second = await relates(alice, room, event_id, "m.replace", "c", **new)
        assert (await bundle(alice, room, event_id))["m.replace"]["event_id"] == second
        await redacts(alice, room, second)
        assert (await bundle(alice, room, event_id))["m.replace"]["event_id"] == first

    @pytest.mark.parametrize("case", ["no new content", "another type", "of an edit"])
    async def test_an_edit_that_is_not_valid_does_not_count(self, alice, room, case) -> None:
        event_id = await alice.says(room, "a")
        new = {"m.new_content": {"body": "b"}}
        if case == "of an edit":
            event_id = await relates(alice, room, event_id, "m.replace", **new)
        relation = {"rel_type": "m.replace", "event_id": event_id}
        content = {"body": "b", "m.relates_to": relation}
        content |= {} if case == "no new content" else new
        event_type = "org.example.other" if case == "another type" else MESSAGE
        await alice.sends(room, event_type, content)
        assert await bundle(alice, room, event_id) == {}

    async def test_an_encrypted_edit_keeps_its_new_content_to_itself(self, alice, room) -> None:
        event_id = await alice.sends(room, "m.room.encrypted", {"ciphertext": "x"})
        relation = {"rel_type": "m.replace", "event_id": event_id}
        edit = await alice.sends(
            room, "m.room.encrypted", {"ciphertext": "y", "m.relates_to": relation}
        )
        assert (await bundle(alice, room, event_id))["m.replace"]["event_id"] == edit

    async def test_the_ignored_do_not_count(self, alice, bob, room) -> None:
        root = await alice.says(room, "hello")
        first = await relates(alice, room, root, "m.thread")
        await relates(bob, room, root, "m.thread")
        await relates(bob, room, root, "m.reference")
        await ignores(alice, bob)
        found = await bundle(alice, room, root)
        assert set(found) == {"m.thread"}
        assert found["m.thread"]["count"] == 1
        assert found["m.thread"]["latest_event"]["event_id"] == first

    async def test_children_that_one_may_not_see_do_not_count(self, alice, bob, room) -> None:
        root = await alice.says(room, "hello")
        seen = await relates(alice, room, root, "m.thread")
        await bob.post(f"v3/rooms/{q(room)}/leave")
        await relates(alice, room, root, "m.thread")
        await relates(alice, room, root, "m.replace", **{"m.new_content": {"body": "x"}})
        found = await bundle(bob, room, root)
        assert set(found) == {"m.thread"}
        assert found["m.thread"]["latest_event"]["event_id"] == seen
        assert found["m.thread"]["count"] == 1


class TestGetThreadRoots:
    async def roots(self, user: MatrixUser, room: str, **query: object) -> list[str]:
        return await ids(user, f"v1/rooms/{q(room)}/threads", **query)

    async def test_the_thread_with_the_newest_message_comes_first(self, alice, bob, room) -> None:
        first, second = await alice.says(room, "one"), await alice.says(room, "two")
        await alice.says(room, "no thread")
        await relates(bob, room, first, "m.thread")
        await relates(bob, room, second, "m.thread")
        assert await self.roots(alice, room) == [second, first]
        await relates(bob, room, first, "m.thread")
        assert await self.roots(alice, room) == [first, second]
        page = await alice.get(f"v1/rooms/{q(room)}/threads")
        assert page["chunk"][0]["unsigned"]["m.relations"]["m.thread"]["count"] == 2

    async def test_those_that_one_wrote_in(self, server, alice, bob, room) -> None:
        carol = await server.registers("carol")
        await carol.joins(room)
        first, second = await alice.says(room, "one"), await bob.says(room, "two")
        await relates(bob, room, first, "m.thread")
        await relates(bob, room, second, "m.thread")
        assert await self.roots(alice, room, include="participated") == [first]
        assert await self.roots(bob, room, include="participated") == [second, first]
        assert await self.roots(carol, room, include="participated") == []

    async def test_pages(self, alice, room) -> None:
        roots = [await alice.says(room, str(number)) for number in range(5)]
        for root in roots:
            await relates(alice, room, root, "m.thread")
        found, query = [], {"limit": 2}
        while True:
            page = await alice.get(f"v1/rooms/{q(room)}/threads", **query)
            found += [each["event_id"] for each in page["chunk"]]
            if "next_batch" not in page:
                break
            query["from"] = page["next_batch"]
        assert found == roots[::-1]

    async def test_a_root_of_somebody_ignored_comes_redacted(self, alice, bob, room) -> None:
        root = await bob.says(room, "hello")
        await relates(alice, room, root, "m.thread")
        await ignores(alice, bob)
        page = await alice.get(f"v1/rooms/{q(room)}/threads")
        assert [(each["event_id"], each["content"]) for each in page["chunk"]] == [(root, {})]

    async def test_strangers_are_refused(self, server, alice, room) -> None:
        carol = await server.registers("carol")
        for there in (room, "!nowhere:example.org"):
            path = f"v1/rooms/{q(there)}/threads"
            assert await carol.is_refused("GET", path, status=403) == "M_FORBIDDEN"

    @pytest.mark.parametrize("query", [{"include": "x"}, {"limit": 0}, {"from": "x"}])
    async def test_wrong_parameters_are_refused(self, alice, room, query) -> None:
        path = f"v1/rooms/{q(room)}/threads"
        assert await alice.is_refused("GET", path, status=400, **query) == "M_INVALID_PARAM"

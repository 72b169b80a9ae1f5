"""Events name media: counted, and given up again."""

import pytest

from homeserver.identifiers import native_uuid
from homeserver.storage import media_references
from tests.support.server import server  # noqa: F401

URI = "mxc://example.org/abcDEF_1-2"
OTHER = "mxc://[2001:db8::1]:8448/z"


async def named(server) -> set:  # noqa: F811
    await server.core.delivery.media_references.catch_up()
    async with server.database.connection() as db:
        rows = await db.fetch("SELECT media_uuid FROM media_references")
    return {row["media_uuid"] for row in rows}


@pytest.fixture
async def alice(server):  # noqa: F811
    return await server.person("alice")


@pytest.fixture
async def room(server, alice):  # noqa: F811
    return await server.group(alice)


class TestReferences:
    """Content repository: `url`, `file.url`, `info.thumbnail_url`, avatars, stickers."""

    @pytest.mark.parametrize(
        "content",
        [
            {"msgtype": "m.image", "body": "x", "url": URI},
            {"msgtype": "m.file", "body": "x", "file": {"url": URI, "v": "v2"}},
            {"msgtype": "m.video", "body": "x", "info": {"thumbnail_url": URI}},
            {"msgtype": "m.video", "body": "x", "info": {"thumbnail_file": {"url": URI}}},
            {"msgtype": "m.text", "body": "x", "formatted_body": f"<img src='{URI}'>"},
        ],
    )
    async def test_a_message_names_what_stands_in_it(self, server, alice, room, content):  # noqa: F811
        await server.sends(alice, room, "m.room.message", content)
        assert await named(server) == {native_uuid(URI)}

    async def test_state_names_media_too(self, server, alice, room):  # noqa: F811
        await server.sends(alice, room, "m.room.avatar", {"url": OTHER}, state_key="")
        assert await named(server) == {native_uuid(OTHER)}

    @pytest.mark.parametrize("uri", ["mxc://", "mxc://a", "mxc:///a", "http://a/b", 7, None])
    async def test_what_is_no_uri_names_nothing(self, server, alice, room, uri):  # noqa: F811
        await server.sends(alice, room, "m.room.message", {"msgtype": "m.image", "url": uri})
        assert await named(server) == set()

    async def test_a_redacted_message_names_nothing(self, server, alice, room):  # noqa: F811
        content = {"msgtype": "m.image", "body": "x", "url": URI}
        event = await server.sends(alice, room, "m.room.message", content)
        assert await named(server) == {native_uuid(URI)}
        await server.actions.send.delete(alice, event.facts.uuid)
        assert await named(server) == set()

    async def test_it_makes_no_difference_how_far_behind_it_is(self, server, alice, room):  # noqa: F811
        content = {"msgtype": "m.image", "body": "x", "url": URI}
        kept = await server.sends(alice, room, "m.room.message", content)
        gone = await server.sends(alice, room, "m.room.message", {**content, "url": OTHER})
        await server.actions.send.delete(alice, gone.facts.uuid)
        assert await named(server) == {native_uuid(URI)}
        assert kept.facts.redacted_by is None

    async def test_who_is_in_the_room_may_see_it(self, server, alice, room):  # noqa: F811
        bob = await server.person("bob")
        await server.sends(alice, room, "m.room.message", {"msgtype": "m.image", "url": URI})
        await named(server)
        async with server.database.connection() as db:
            for user, seen in ((alice, {native_uuid(URI)}), (bob, set())):
                found = await media_references.may_see(db, user.user_nid, [native_uuid(URI)])
                assert found == seen

"""Who may open a WebSocket."""

import aiohttp
import pytest
from websockets.exceptions import InvalidStatus

from tests.native.stage import Client, on_stage


async def refusal(opening):
    with pytest.raises(InvalidStatus) as refused:
        await opening
    return refused.value.response.status_code, refused.value.response.body


class TestTokens:
    """Seed section 1: `Authorization: Bearer <jwt_token>`."""

    async def test_a_token_in_the_header(self):
        async with on_stage() as stage:
            stage.room("alice")
            assert await (await stage.connects("alice")).is_idle()

    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
    async def test_without_a_valid_one_nobody_is_let_in(self, headers):
        async with on_stage() as stage:
            status, body = await refusal(stage.opens(headers=headers))
            assert status == 401
            assert b'"UNAUTHENTICATED"' in body

    async def test_a_token_beside_the_subprotocol(self):
        """Browsers cannot send headers of their own with a WebSocket."""
        async with on_stage() as stage:
            stage.room("alice")
            socket = await stage.opens(subprotocols=["foyer", "bearer.alice"])
            assert socket.subprotocol == "foyer"
            assert await Client(socket).is_idle()

    async def test_the_subprotocol_must_be_offered_with_it(self, caplog):
        async with on_stage() as stage:
            stage.room("alice")
            status, _ = await refusal(stage.opens(subprotocols=["bearer.alice"]))
            assert status == 400
            assert "alice" not in caplog.text

    async def test_a_ticket_opens_one_connection(self):
        async with on_stage() as stage:
            stage.room("alice")
            stage.tickets["t1"] = "alice"
            assert await Client(await stage.opens("?ticket=t1")).is_idle()
            assert (await refusal(stage.opens("?ticket=t1")))[0] == 401

    async def test_a_request_that_is_no_websocket_is_told_so(self):
        async with on_stage() as stage, aiohttp.ClientSession() as session:
            stage.room("alice")
            headers = {"Authorization": "Bearer alice"}
            uri = f"http://127.0.0.1:{stage.port}/ws"
            async with session.get(uri, headers=headers) as response:
                assert response.status == 400
                assert (await response.json())["code"] == "INVALID_INPUT"
            assert len(stage.live.hub._audience) == 0


class TestOrigins:
    """RFC 6455, 10.2."""

    async def test_a_page_of_this_server_may_connect(self):
        async with on_stage() as stage:
            stage.room("alice")
            alice = await stage.connects("alice", origin=f"http://127.0.0.1:{stage.port}")
            assert await alice.is_idle()

    async def test_a_page_of_another_may_not(self):
        async with on_stage() as stage:
            stage.room("alice")
            status, body = await refusal(stage.connects("alice", origin="https://evil.example"))
            assert status == 403
            assert b'"FORBIDDEN"' in body

    async def test_a_page_may_know_this_server_by_its_public_address(self):
        async with on_stage(server={"public_url": "https://chat.example.com"}) as stage:
            stage.room("alice")
            alice = await stage.connects("alice", origin="https://chat.example.com")
            assert await alice.is_idle()

    @pytest.mark.parametrize("allowed", ["https://app.example.com", "*"])
    async def test_unless_it_is_listed(self, allowed):
        async with on_stage(server={"cors_origins": (allowed,)}) as stage:
            stage.room("alice")
            alice = await stage.connects("alice", origin="https://app.example.com")
            assert await alice.is_idle()

    async def test_the_opaque_origin_is_another(self):
        async with on_stage() as stage:
            stage.room("alice")
            assert (await refusal(stage.connects("alice", origin="null")))[0] == 403

"""Requests that aiohttp cannot read are answered in JSON, for clients of both protocols."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from clientapi.http_runner import MAX_LINE_BYTES, Runner


async def ask(request: web.Request) -> web.Response:
    return web.json_response({"length": len(request.query_string)})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    application = web.Application()
    application.router.add_get("/", ask)
    runner = Runner(application, shutdown_timeout_s=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def answer_to(port: int, request: bytes) -> tuple[int, dict]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
    writer.close()
    assert b"content-type: application/json" in head.lower()
    return int(head.split()[1]), json.loads(body)


class TestRequestsThatAreNone:
    @pytest.mark.parametrize(
        "request_bytes",
        [
            b"GET /?%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * MAX_LINE_BYTES),
            b"GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n" % (b"x" * 9_000),
            b"hello\r\n\r\n",
            b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        ],
        ids=["a long address", "a long header", "no HTTP", "no header"],
    )
    async def test_are_told_so(self, port, request_bytes):
        status, answer = await answer_to(port, request_bytes)
        assert status == 400
        assert (answer["errcode"], answer["code"]) == ("M_UNKNOWN", "INVALID_INPUT")
        assert answer["error"] == answer["message"]

    async def test_an_address_that_is_only_long_is_fine(self, port):
        status, answer = await answer_to(
            port, b"GET /?%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * 20_000)
        )
        assert (status, answer) == (200, {"length": 20_000})

"""matrix-js-sdk with its Rust crypto: what Element does on its first day, and with a new device."""

import asyncio
import json
from asyncio.subprocess import PIPE
from pathlib import Path
from secrets import token_hex

from tests.support.live_server import LiveServer

_PLAY = Path(__file__).parent / "js" / "encrypted.mjs"
_PATIENCE_S = 240


async def test_cross_signing_rooms_backups_and_new_devices(server: LiveServer):
    begins = len(server.log)
    process = await asyncio.create_subprocess_exec(
        "node", str(_PLAY), server.url, token_hex(4), stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(_PATIENCE_S):
        told, complaints = await process.communicate()
    steps = {line["step"]: line["is"] for line in map(json.loads, told.splitlines())}
    assert process.returncode == 0, (steps, complaints.decode()[-6000:])
    assert steps == {
        "cross-signing is ready": True,
        "secret storage is ready": True,
        "they read each other": [["hello", "hello yourself"]] * 2,
        "a backup is there": "string",
        "the new device is signed": True,
        "keys were restored": True,
        "it reads what was before it": ["hello", "hello yourself"],
        "both devices read": True,
        "a device that is gone is forgotten": True,
        "was asked for a proof": ["m.login.password"],
        "another identity needs a proof": True,
    }
    problems = server.problems(begins)
    assert not problems, problems

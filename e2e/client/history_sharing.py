"""The history of a room that moves with an invitation: the files of `key_bundles.py`.

Source: C-S API v1.19, "Sharing keys between users".
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

from e2e.client import attachments
from e2e.client.errors import BadFile
from e2e.client.keeper import Keeper
from e2e.client.notices import Notice
from e2e.client.records import Bundle
from e2e.client.requests import ClaimKeys
from e2e.client.server import Server, ServerRefused, Unreachable, may_pass
from homeserver.errors import InvalidInput
from homeserver.events import base64, canonical_json

Learn = Callable[[list[str]], Awaitable[None]]
"""Asks for the devices of users."""

MAX_BYTES = 32 * 1024 * 1024
"""Of a bundle that is fetched: some fifty thousand sessions."""


class HistorySharing:
    """Gives it to whom we invite, and takes it from who invited us."""

    def __init__(
        self, *, server: Server, keeper: Keeper, learn: Learn, clock: Callable[[], int]
    ) -> None:
        self._server = server
        self._keeper = keeper
        self._learn = learn
        self._clock = clock

    async def share(self, room_id: str, user_id: str) -> int:
        """To the signed devices of that user. Returns how many were told, in messages that wait in
        the outbox. Raises ServerRefused, Unreachable.
        """
        await self._learn([user_id])
        if not await self._keeper.run(lambda machine: machine.bundles.may_share(room_id, user_id)):
            return 0
        await self._complete(room_id)
        bundle = await self._keeper.run(lambda machine: machine.bundles.build(room_id))
        if not bundle["room_keys"]:
            return 0
        claim = await self._keeper.run(lambda machine: machine.bundles.claim(user_id))
        if claim is not None:
            await self._perform(claim)
        plain = canonical_json.encode(bundle)
        cipher, encryption = attachments.encrypt(plain, secrets.token_bytes)
        url = await self._server.upload(
            _at_once(cipher), content_type="application/octet-stream", size=len(cipher)
        )
        return await self._keeper.run(
            lambda machine: machine.bundles.share(user_id, room_id, encryption.file(url))
        )

    async def take(self) -> list[Notice]:
        """What came for rooms whose invitations we accepted. A server that does not answer now is
        asked again the next time; a file that is gone or damaged is given up.
        """
        inviters = await self._keeper.run(lambda m: m.bundles.inviters(now_ms=self._clock()))
        if not inviters:
            return []
        try:
            await self._learn(inviters)
        except (ServerRefused, Unreachable):
            return []
        notices: list[Notice] = []
        for bundle in await self._keeper.run(lambda m: m.bundles.due(now_ms=self._clock())):
            try:
                notices += await self._taken(bundle)
            except (Unreachable, ServerRefused, BadFile) as error:
                if not may_pass(error):
                    await self._keeper.run(lambda m, b=bundle: m.bundles.dropped(b))  # type: ignore[misc]
        return notices

    async def _taken(self, bundle: Bundle) -> list[Notice]:
        cipher = bytearray()
        async for piece in self._server.download(str(bundle.file.get("url"))):
            cipher += piece
            if len(cipher) > MAX_BYTES:
                raise BadFile(f"shared history of more than {MAX_BYTES} bytes")
        try:
            content = canonical_json.decode(attachments.decrypt(bytes(cipher), bundle.file))
        except InvalidInput:
            raise BadFile("shared history that is not JSON") from None
        if not isinstance(content, dict):
            raise BadFile("shared history that is no object")
        return await self._keeper.run(lambda machine: machine.bundles.take(bundle, content))

    async def _complete(self, room_id: str) -> None:
        """What the backup knows of the room and this device does not (step 1)."""
        backup = await self._keeper.run(lambda machine: machine.backup.current)
        if backup is None or backup.version is None or backup.private_key is None:
            return
        answer = await self._server.backup_room_keys(backup.version, room_id)
        if answer is None:
            return
        private = base64.decode(backup.private_key)
        await self._keeper.run(
            lambda machine: machine.backup.restore({"rooms": {room_id: answer}}, private)
        )

    async def _perform(self, request: ClaimKeys) -> None:
        answer = await self._server.perform(request)
        await self._keeper.run(
            lambda machine: machine.answered(request, answer, now_ms=self._clock())
        )


async def _at_once(data: bytes) -> AsyncIterator[bytes]:
    yield data

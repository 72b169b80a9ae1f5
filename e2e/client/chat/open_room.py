"""A room to read and write in: what others say appears, what is typed is sent."""

import asyncio

from e2e.client.chat import terminal
from e2e.client.chat.lines import line_of
from e2e.client.errors import IdentitiesChanged
from e2e.client.server import Unreachable
from e2e.client.session import Session

HISTORY = 20
_LEAVING_S = 5.0
"""How long a request that is under way may hold up who leaves."""


async def converse(session: Session, room_id: str) -> None:
    """Until the end of the input. Through a pipe, each line is one message."""
    for said in await session.history(room_id, HISTORY):
        _show(line_of(said, room_id=room_id))
    reading = asyncio.create_task(_read(session, room_id))
    try:
        async for text in terminal.lines("> "):
            if text.strip():
                await _send(session, room_id, text)
            if reading.done():
                break
    finally:
        reading.cancel()
        await asyncio.wait((reading,), timeout=_LEAVING_S)
    if reading.done() and not reading.cancelled():
        reading.result()


async def listen(session: Session, room_id: str | None) -> None:
    """Prints what happens, until it is interrupted."""
    async for happening in session.happenings():
        _show(line_of(happening, room_id=room_id))


async def _read(session: Session, room_id: str) -> None:
    own = session.user_id
    interactive = terminal.is_interactive()
    async for happening in session.happenings():
        event = getattr(happening, "event", {})
        # What we typed stands on the screen already.
        if not (interactive and event.get("sender") == own):
            _show(line_of(happening, room_id=room_id))


async def _send(session: Session, room_id: str, text: str) -> None:
    """A message that cannot be sent ends no conversation of a person, but a script's."""
    content = {"msgtype": "m.text", "body": text}
    try:
        await session.send(room_id, "m.room.message", content)
    except (IdentitiesChanged, Unreachable) as error:
        if not terminal.is_interactive():
            raise
        terminal.remark(f"-- not sent: {error}")


def _show(line: str | None) -> None:
    if line is not None:
        terminal.show(line)

"""Verifying another user, or another device of one's own: by short strings or by QR codes."""

import asyncio
from enum import StrEnum
from pathlib import Path

from e2e.client.chat import terminal
from e2e.client.errors import CryptoError
from e2e.client.session import Session
from e2e.client.verification.flow import QR_SCAN, QR_SHOW, SAS, Flow, State

PATIENCE_S = 600.0


class Way(StrEnum):
    """What our side would like to do."""

    COMPARE = "compare"
    SHOW = "show"
    """A QR code, which the other side scans."""
    SCAN = "scan"
    """Theirs."""


class NotVerified(CryptoError):
    """The other side, or our user, cancelled."""


async def verify(
    session: Session, user_id: str, *, way: Way = Way.COMPARE, device_id: str | None = None
) -> None:
    """Takes up what the other side asked for, or asks. Returns when both have confirmed.
    device_id: starts at once with that one, for clients that know no requests.
    Raises NotVerified, VerificationImpossible, BadKeys for what is no QR code.
    """
    await session.step(lambda machine: machine.track([user_id]))
    flow = await _begun(session, user_id, device_id)
    terminal.remark(f"Waiting for {user_id} …")
    try:
        async with asyncio.timeout(PATIENCE_S):
            await _through(session, flow, way)
    except (asyncio.CancelledError, TimeoutError, CryptoError):
        await _give_up(session, flow)
        raise


async def _begun(session: Session, user_id: str, device_id: str | None) -> Flow:
    theirs = await _waiting(session, user_id)
    if theirs is not None and theirs.state is State.REQUESTED:
        return await _accepted(session, theirs)
    if theirs is not None:
        return theirs
    if device_id is None:
        return await _asked(session, user_id)
    return await session.step(
        lambda machine: machine.verification.start_at_once(
            user_id, device_id, now_ms=session.now_ms()
        )
    )


async def _waiting(session: Session, user_id: str) -> Flow | None:
    """One that the other side asked for, or started without asking."""
    flows = await session.keeper.run(lambda machine: machine.verification.open_flows())
    for flow in flows:
        is_new = flow.state is State.REQUESTED or not flow.has_request
        if flow.other_user == user_id and is_new and not flow.we_asked:
            return flow
    return None


async def _accepted(session: Session, flow: Flow) -> Flow:
    return await session.step(lambda machine: machine.verification.accept(flow))


async def _of_two(session: Session, flow: Flow) -> Flow:
    """If both sides asked at once, the request of the smaller ID counts, as for two starts."""
    theirs = await _waiting(session, flow.other_user)
    if flow.state is not State.REQUESTED or not flow.we_asked or theirs is None:
        return flow
    own = await session.keeper.run(lambda machine: machine.device)
    if (own.user_id, own.device_id) < (theirs.other_user, str(theirs.other_device)):
        return flow
    await session.step(lambda machine: machine.verification.cancel(flow))
    return await _accepted(session, theirs)


async def _asked(session: Session, user_id: str) -> Flow:
    return await session.step(
        lambda machine: machine.verification.request(user_id, now_ms=session.now_ms())
    )


async def _through(session: Session, flow: Flow, way: Way) -> None:
    """From one state to the next, until the end."""
    seen: State | None = None
    while not flow.is_over:
        if flow.state is not seen:
            seen = flow.state
            await _act(session, flow, way)
        await session.sync(2_000)
        flow = await _of_two(session, flow)
        flow = await session.keeper.run(
            lambda machine, f=flow: machine.verification.get(f.other_user, f.flow_id)  # type: ignore[misc]
        )
    if flow.state is State.CANCELLED:
        raise NotVerified(f"not verified: {terminal.harmless(str(flow.reason))}")


async def _act(session: Session, flow: Flow, way: Way) -> None:
    """What our side does in a state. Whoever asked begins, if codes are not what is wanted."""
    if flow.state is State.READY:
        await _choose(session, flow, way)
    elif flow.state is State.STARTED and flow.sas is None:
        await _look(session, flow)
    elif flow.state is State.COMPARING:
        await _compare(session, flow)


async def _choose(session: Session, flow: Flow, way: Way) -> None:
    if way is Way.SHOW and QR_SHOW in flow.methods:
        await _show(session, flow)
    elif way is Way.SCAN and QR_SCAN in flow.methods:
        await _scan(session, flow)
    elif flow.we_asked and SAS in flow.methods:
        if way is not Way.COMPARE:
            terminal.remark("The other device knows no QR codes: compare instead.")
        await session.step(lambda machine: machine.verification.start_sas(flow))


async def _show(session: Session, flow: Flow) -> None:
    """As a picture for cameras, and as text for those who have none."""
    from e2e.client.chat import qr_codes  # noqa: PLC0415 - see there

    raw = await session.step(lambda machine: machine.verification.show_qr(flow))
    if terminal.is_interactive():
        for line in qr_codes.drawn(raw):
            terminal.show(line)
    terminal.remark("Scan this code with the other device, or give it this text:")
    terminal.show(qr_codes.as_text(raw))


async def _scan(session: Session, flow: Flow) -> None:
    from e2e.client.chat import qr_codes  # noqa: PLC0415 - see there

    answer = (await terminal.ask("The other device's code (a picture's path, or text)")).strip()
    is_path = await asyncio.to_thread(_is_file, answer)
    raw = qr_codes.from_picture(answer) if is_path else qr_codes.from_text(answer)
    scanned = await session.step(lambda machine: machine.verification.scan_qr(flow, raw))
    if not scanned.is_over:
        terminal.remark("The code is right. Confirm it on the other device.")


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:
        return False


async def _look(session: Session, flow: Flow) -> None:
    """They scanned our code, and their device says how it went."""
    if await terminal.ask_yes("Does the other device say that all is well?"):
        await session.step(
            lambda machine: machine.verification.confirm(flow, now_ms=session.now_ms())
        )
    else:
        await session.step(lambda machine: machine.verification.cancel(flow))


async def _compare(session: Session, flow: Flow) -> None:
    strings = await session.keeper.run(lambda machine: machine.verification.short_strings(flow))
    if strings.emoji:
        terminal.show("  ".join(f"{symbol} {name}" for symbol, name in strings.emoji))
    terminal.show("  ".join(str(number) for number in strings.decimals))
    if await terminal.ask_yes("Does the other device show the same?"):
        await session.step(
            lambda machine: machine.verification.confirm(flow, now_ms=session.now_ms())
        )
    else:
        await session.step(lambda machine: machine.verification.reject(flow))


async def _give_up(session: Session, flow: Flow) -> None:
    """The other side should not wait for ten minutes."""
    found = await session.keeper.run(
        lambda machine: machine.verification.get(flow.other_user, flow.flow_id)
    )
    if not found.is_over:
        await session.step(lambda machine: machine.verification.cancel(found))

"""Comparing short strings with another user, or with another device of one's own."""

import asyncio

from e2e.client.chat import terminal
from e2e.client.errors import CryptoError
from e2e.client.session import Session
from e2e.client.verification.flow import SAS, Flow, State

PATIENCE_S = 600.0


class NotVerified(CryptoError):
    """The other side, or our user, cancelled."""


async def verify(session: Session, user_id: str) -> None:
    """Takes up what the other side asked for, or asks. Returns when both have confirmed.
    Raises NotVerified, VerificationImpossible.
    """
    await session.step(lambda machine: machine.track([user_id]))
    theirs = await _waiting(session, user_id)
    flow = await _asked(session, user_id) if theirs is None else await _accepted(session, theirs)
    terminal.remark(f"Waiting for {user_id} …")
    try:
        async with asyncio.timeout(PATIENCE_S):
            await _through(session, flow)
    except (asyncio.CancelledError, TimeoutError):
        await _give_up(session, flow)
        raise


async def _waiting(session: Session, user_id: str) -> Flow | None:
    """One that the other side asked for."""
    flows = await session.keeper.run(lambda machine: machine.verification.open_flows())
    for flow in flows:
        if flow.other_user == user_id and flow.state is State.REQUESTED and not flow.we_asked:
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


async def _through(session: Session, flow: Flow) -> None:
    """From one state to the next, until the end."""
    seen: State | None = None
    while not flow.is_over:
        if flow.state is not seen:
            seen = flow.state
            await _act(session, flow)
        await session.sync(2_000)
        flow = await _of_two(session, flow)
        flow = await session.keeper.run(
            lambda machine, f=flow: machine.verification.get(f.other_user, f.flow_id)  # type: ignore[misc]
        )
    if flow.state is State.CANCELLED:
        raise NotVerified(f"not verified: {terminal.harmless(str(flow.reason))}")


async def _act(session: Session, flow: Flow) -> None:
    """What our side does in a state. Whoever asked begins."""
    if flow.state is State.READY and flow.we_asked and SAS in flow.methods:
        await session.step(lambda machine: machine.verification.start_sas(flow))
    elif flow.state is State.COMPARING:
        await _compare(session, flow)


async def _compare(session: Session, flow: Flow) -> None:
    strings = await session.keeper.run(lambda machine: machine.verification.short_strings(flow))
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

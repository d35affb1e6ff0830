"""
Scenarios about streams that end before their time, or do not begin.
"""

from __future__ import annotations

import pytest
from twisted.internet.defer import ensureDeferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.python.failure import Failure

from tests.interop.link import Link, Scenarios, notInApi, notOnWire
from tests.interop.peers import CommandFailed, noise
from tests.interop.scenarios_known import Quirk
from tests.interop.services import Caller
from twisted_mux.config import MIB, MuxConfig
from twisted_mux.reasons import SessionLost, StreamRefused, StreamReset

scenario = Scenarios()

#: Seconds for which the peer waits for what must come.
PATIENCE = 10


def mustReset(link: Link) -> None:
    """
    @raise Impossible: the wire has no reset.
    """
    if not link.capabilities.reset:
        raise notOnWire("it has no reset")


@scenario("peer-closes: the peer closes a stream with our data unread")
async def peerCloses(link: Link) -> None:
    await link.start()
    caller = await link.open(b"close-unread 30")
    caller.write(noise(MIB, 1))
    await caller.conditions.until(lambda: caller.over)
    if caller.reason is None:
        caller.transport.abortConnection()
    await link.peer.waitFor("served", service="close-unread")
    await link.alive()
    await caller.whenLost()


@scenario("we-close: we close a stream with the peer's data unread")
async def weClose(link: Link) -> None:
    await link.start()
    reply = await link.peerOpens("close-unread", ms=30, size=MIB)
    (result,) = reply["results"]
    assert result["readEnd"] in ("end", "reset"), result
    service = await link.services.arrived("close-unread")
    assert (await service.whenLost()).check(ConnectionDone)
    assert service.transport.bytesReceived > 0
    await link.alive()
    await link.quiet()


async def untilLost(caller: Caller) -> Failure:
    """
    Write as long as somebody takes it.
    """
    caller.write(noise(100_000, 1))
    return await caller.whenLost()


@scenario("peer-resets: the peer resets a stream that it accepted")
async def peerResets(link: Link) -> None:
    mustReset(link)
    await link.start()
    caller = await link.open(b"reset 30 7")
    event = await link.peer.waitFor("served", service="reset")
    if event.get("unsupported"):
        await caller.readAll()
        caller.close()
        raise notInApi("it has no reset of a stream")
    if link.differs(Quirk.RESETS_IN_TWO_STEPS):
        lost = await caller.whenLost()
    else:
        lost = await untilLost(caller)
    assert lost.check(StreamReset)
    await link.quiet()
    await link.alive()


@scenario("peer-opener-resets: the peer resets a stream that it opened")
async def peerOpenerResets(link: Link) -> None:
    mustReset(link)
    await link.start()
    service = await link.peerManual()
    await link.may(link.drive("reset"), "reset of a stream")
    assert (await service.whenLost()).check(StreamReset)
    await link.quiet()
    await link.alive()


@scenario("we-reset: we reset a stream that the peer accepted")
async def weReset(link: Link) -> None:
    mustReset(link)
    await link.start()
    caller = await link.open(b"sink")
    caller.write(noise(100_000, 1))
    await link.peer.waitFor("accepted", service="sink")
    caller.transport.abortConnection()
    assert (await caller.whenLost()).check(ConnectionAborted)
    event = await link.peer.waitFor("served", service="sink")
    assert not event["ok"]
    if not link.differs(Quirk.RESET_READS_AS_END):
        assert event["kind"] == "reset", event
    await link.quiet()
    await link.alive()


@scenario("we-accept-reset: we reset a stream that the peer opened")
async def weAcceptReset(link: Link) -> None:
    mustReset(link)
    await link.start()
    reply = await link.peerOpens("reset", ms=30, code=7, size=100_000)
    (result,) = reply["results"]
    if link.differs(Quirk.RESET_READS_AS_END):
        assert result["readEnd"] == "end", result
    else:
        assert result["readEnd"] == "reset", result
    service = await link.services.arrived("reset")
    assert (await service.whenLost()).check(ConnectionAborted)
    await link.quiet()
    await link.alive()


@scenario("abort: we abort a stream, and have no reset to say so")
async def abort(link: Link) -> None:
    if link.capabilities.reset:
        raise notOnWire("an abort is a reset; see above")
    await link.start()
    caller = await link.open(b"sink")
    caller.write(b"some")
    await link.peer.waitFor("accepted", service="sink")
    caller.transport.abortConnection()
    assert (await caller.whenLost()).check(ConnectionAborted)
    # The peer takes it for an end.
    event = await link.peer.waitFor("served", service="sink")
    assert event["received"] <= 4
    await link.quiet()
    await link.alive()


@scenario("we-refuse: we refuse a stream of the peer's")
async def weRefuse(link: Link) -> None:
    await link.start()
    link.session.streamFactory = None
    told = await refused(link)
    if not link.capabilities.reset or link.differs(Quirk.RESET_READS_AS_END):
        assert told == "end"
    else:
        assert told == "reset"
    await link.quiet()
    link.session.streamFactory = link.services
    await link.alive()


async def refused(link: Link) -> str:
    """
    What the peer is told of a stream that is refused.
    """
    try:
        await link.peerOpens("manual", name="refused")
        reply = await link.drive("read-all", "refused", timeout=PATIENCE)
    except CommandFailed as failed:
        kind: str = failed.reply["kind"]
        if kind == "timeout":
            await link.drive("end", "refused")
        return kind
    assert reply["bytes"] == 0
    if not link.capabilities.reset:
        await link.drive("end", "refused")
    return "end"


async def howLost(link: Link) -> BaseException | None:
    """
    Open a stream, and see how it is lost: it may not get as far as a protocol.
    """
    try:
        caller = await link.open(b"echo")
    except SessionLost as error:
        return error
    return (await caller.whenLost()).value


@scenario("peer-refuses: the peer refuses a stream of ours")
async def peerRefuses(link: Link) -> None:
    if not link.capabilities.reset:
        raise notOnWire("it has no refusal")
    if not link.known.refuses:
        raise notInApi("it refuses no stream: those over its limit wait")
    if link.differs(Quirk.REFUSES_BY_GO_AWAY):
        await link.start(None, **link.known.refuses)
        for ending in [ensureDeferred(howLost(link)) for _ in range(2)]:
            lost = await ending
            assert isinstance(lost, SessionLost)
            assert "the peer ended the session" in str(lost)
        return
    await link.start(MuxConfig(opening="ack"), **link.known.refuses)
    waiting = ensureDeferred(link.open(b"echo"))
    with pytest.raises(StreamRefused):
        await link.open(b"echo")
    await link.command("accepting", on=True)
    caller = await waiting
    await caller.sendAndEnd(b"after all")
    assert await caller.readAll() == b"after all"
    caller.close()
    # Some count a stream until their application is done with it.
    await link.peer.waitFor("served", service="echo")
    await link.alive()

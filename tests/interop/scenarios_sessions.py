"""
Scenarios about sessions: they stay alive, and they end.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from twisted.internet.defer import ensureDeferred
from twisted.internet.endpoints import serverFromString

from tests.interop.link import (
    Link,
    Scenarios,
    notInApi,
    notInRole,
    notOnWire,
    reactor,
)
from tests.interop.peers import CommandFailed, PeerEnded, noise
from tests.interop.scenarios_ends import refused
from tests.interop.scenarios_known import Quirk
from tests.interop.services import Conversation, together
from twisted_mux.config import KIB, MIB, MuxConfig
from twisted_mux.errors import PeerTimeout, SessionClosed
from twisted_mux.reasons import SessionLost

scenario = Scenarios()

#: Seconds for which a session is idle: more than two of the shortened time-outs.
IDLE = 0.9
#: Bytes that take longer to send than a peer takes to be killed.
LONG = 32 * MIB


@scenario("we-ping: we ping the peer")
async def wePing(link: Link) -> None:
    if not link.capabilities.ping:
        raise notOnWire("it has no ping that is answered")
    await link.start()
    round1, round2 = await together(link.session.ping(), link.session.ping())
    assert round1 >= 0 < round2 < 10
    await link.alive()


@scenario("peer-pings: the peer pings us")
async def peerPings(link: Link) -> None:
    if not link.capabilities.ping:
        raise notOnWire("it has no ping that is answered")
    await link.start()
    reply = await link.may(link.command("ping"), "ping")
    assert 0 <= reply["seconds"] < 10
    await link.alive()


@scenario("we-keep-alive: our keep-alive outlasts the peer's time-out of 300 ms")
async def weKeepAlive(link: Link) -> None:
    if not (link.capabilities.ping or link.capabilities.probe):
        raise notOnWire("it has no keep-alive")
    if not link.known.timesOut:
        raise notInApi("it never gives up a silent session")
    await link.start(MuxConfig(keepAlive=0.075), **link.known.timesOut)
    if link.capabilities.probe:
        # Without ours, the peer's time-out does what it should.
        other = link.sibling()
        await other.start(MuxConfig(keepAlive=0), **link.known.timesOut)
        await other.peer.waitFor("closed")
    await link.services.pause(IDLE)
    await link.alive()


@scenario("peer-keep-alive: the peer outlasts our time-out of 300 ms")
async def peerKeepAlive(link: Link) -> None:
    capabilities = link.capabilities
    if not (capabilities.ping or capabilities.probe):
        raise notOnWire("it has no keep-alive")
    # Either it answers pings, or it sends a frame now and then by itself.
    config = MuxConfig(keepAlive=0.1, keepAliveTimeout=0.3)
    await link.start(config, **link.known.keepsAlive)
    await link.services.pause(IDLE)
    await link.alive()


@scenario("peer-freezes: we give up a peer that falls silent")
async def peerFreezes(link: Link) -> None:
    capabilities = link.capabilities
    if not (capabilities.ping or capabilities.probe):
        raise notOnWire("it has no keep-alive")
    await link.start(MuxConfig(keepAlive=0.1, keepAliveTimeout=0.3))
    caller = await link.open(b"echo")
    caller.write(b"x")
    assert await caller.read(1) == b"x"
    assert link.peer.transport is not None
    link.peer.transport.signalProcess("STOP")
    with pytest.raises(PeerTimeout):
        await link.session.whenClosed()
    assert (await caller.whenLost()).check(SessionLost)


async def exchange(ours: Conversation, link: Link) -> None:
    """
    A stream that C{drive} drives still carries data in both directions.
    """
    ours.write(b"to the peer")
    await link.drive("read", size=11)
    await link.drive("write", size=500, seed=3)
    assert await ours.read(500) == noise(500, 3)


async def endBoth(ours: Conversation, link: Link) -> None:
    """
    Such a stream ends in good order.
    """
    await link.drive("end")
    assert await ours.readAll() == b""
    ours.close()


@scenario("we-go: we end the session, live streams finish first")
async def weGo(link: Link) -> None:
    await link.start()
    theirs = await link.peerManual()
    ours = await link.open(b"echo")
    closed = link.session.close()
    await exchange(theirs, link)
    ours.write(b"still")
    assert await ours.read(5) == b"still"
    with pytest.raises(SessionClosed):
        await link.open()
    # What the peer opens now is refused.
    assert await refused(link) in ("end", "reset", "closed")
    assert [each for each in link.services.accepted if each is not theirs] == []
    ours.end()
    assert await ours.readAll() == b""
    ours.close()
    await endBoth(theirs, link)
    await closed
    await link.peer.waitFor("closed")


@scenario("we-go-first: the same, with the go-away at once")
async def weGoFirst(link: Link) -> None:
    if not link.capabilities.goAway:
        raise notOnWire("it has no go-away")
    await link.start(MuxConfig(goAway="first"))
    theirs = await link.peerManual()
    ours = await link.open(b"echo")
    ours.write(b"before")
    assert await ours.read(6) == b"before"
    closed = link.session.close()
    if link.differs(Quirk.GO_AWAY_ENDS_STREAMS):
        await link.peer.waitFor("closed")
        for each in (ours, theirs):
            await each.conditions.until(lambda e=each: e.over)  # type: ignore[misc]
            each.close()
        await closed
        return
    await exchange(theirs, link)
    with pytest.raises(CommandFailed) as caught:
        await link.peerOpens("echo", size=10)
    assert caught.value.reply["kind"] == "goaway"
    ours.end()
    assert await ours.readAll() == b""
    ours.close()
    await endBoth(theirs, link)
    await closed
    await link.peer.waitFor("closed")


@scenario("peer-goes: the peer's go-away, live streams go on")
async def peerGoes(link: Link) -> None:
    if not link.capabilities.goAway:
        raise notOnWire("it has no go-away")
    await link.start()
    theirs = await link.peerManual()
    ours = await link.open(b"echo")
    ours.write(b"x")
    assert await ours.read(1) == b"x"
    await link.may(link.command("goaway"), "go-away but that of its close")
    await link.until(lambda: not link.session.takesStreams)
    with pytest.raises(SessionClosed):
        await link.open()
    await exchange(theirs, link)
    await ours.sendAndEnd(b"still")
    assert await ours.readAll() == b"still"
    ours.close()
    await endBoth(theirs, link)
    await link.quiet()
    await link.session.close()


@scenario("peer-ends: the peer closes the session with live streams")
async def peerEnds(link: Link) -> None:
    silent = link.differs(Quirk.LEAVES_OPEN)
    await link.start(MuxConfig(keepAliveTimeout=2) if silent else None)
    theirs = await link.peerManual()
    ours = await link.open(b"echo")
    ours.write(b"x")
    assert await ours.read(1) == b"x"
    await link.may(link.command("close"), "close of a session")
    for each in (ours, theirs):
        await each.conditions.until(lambda e=each: e.over)  # type: ignore[misc]
        if each.reason is None:
            # The peer ended its streams first.
            each.close()
        await each.whenLost()
    with suppress(*[PeerTimeout] * silent):
        await link.session.close()


@scenario("we-abort: we drop the carrier with live streams")
async def weAbort(link: Link) -> None:
    await link.start()
    theirs = await link.peerManual()
    ours = await link.open(b"echo")
    ours.write(b"x")
    assert await ours.read(1) == b"x"
    link.session.abort()
    await link.session.whenClosed()
    for each in (ours, theirs):
        assert (await each.whenLost()).check(SessionLost)
    await link.peer.waitFor("closed")


@scenario("killed: the peer is killed in mid-transfer, in both directions")
async def killed(link: Link) -> None:
    await link.start()
    taking = [link.peerOpens("take", size=LONG, seed=n) for n in range(2)]
    for command in taking:
        command.addErrback(lambda failure: failure.trap(PeerEnded) and None)
    taker = await link.services.arrived("take")
    reading = [await link.open(b"source %d %d" % (LONG, n)) for n in range(2)]
    # One of each kind will do: not all peers are fair.
    await link.until(lambda: any(each.data for each in reading))
    await link.until(lambda: taker.transport.bytesReceived > KIB)
    writing = await link.open(b"hold -1")
    writing.write(noise(8 * MIB, 1))
    await link.until(lambda: writing.transport.bytesSent > 0)
    # An unfair peer may be done with some by now.
    every: list[Conversation] = [*reading, writing, *link.services.accepted]
    streams = [each for each in every if each.reason is None]
    assert len(streams) > 1
    await link.peer.kill()
    for stream in streams:
        assert (await stream.whenLost()).check(SessionLost)
    await together(*taking)
    assert link.session.over


@scenario("late-accept: the peer accepts late, we write at once")
async def lateAccept(link: Link) -> None:
    await link.start(accept_delay=100)
    await link.alive()


@scenario("late-ack: we wait for the acknowledgement of a peer that accepts late")
async def lateAck(link: Link) -> None:
    if not link.capabilities.ack:
        raise notOnWire("it has no acknowledgement")
    await link.start(MuxConfig(opening="ack"), accept_delay=100)
    opening = ensureDeferred(link.open(b"echo"))
    await link.services.pause(0.05)
    assert not opening.called
    if link.differs(Quirk.ACKNOWLEDGES_LATE):
        await link.services.pause(0.3)
        assert not opening.called
        link.session.abort()
        with pytest.raises(SessionLost):
            await opening
        return
    caller = await opening
    await caller.sendAndEnd(b"now")
    assert await caller.readAll() == b"now"
    caller.close()
    await link.alive()


@scenario("label: a stream's name or address is seen on the other side")
async def label(link: Link) -> None:
    await link.start()
    if link.capabilities.addressed:
        for address in (("192.0.2.1", 700), ("2001:db8::7", 7)):
            written = "{}:{}" if ":" not in address[0] else "[{}]:{}"
            text = written.format(*address)
            caller = await link.open(b"echo", address=address)
            event = await link.peer.waitFor("accepted", stream=text)
            assert event["service"] == "echo"
            assert caller.transport.address == address
            caller.end()
            await caller.readAll()
            caller.close()
            await link.quiet()
            before = len(link.services.accepted)
            await link.peerOpens("echo", size=10, address=text)
            assert link.services.accepted[before].transport.address == address
            await link.quiet()
    elif link.capabilities.names:
        await link.peerOpens("echo", size=10, name="by this name")
        assert link.services.accepted[0].transport.name == b"by this name"
        caller = await link.open(b"echo", name=b"ours")
        await caller.sendAndEnd(b"")
        await caller.readAll()
        caller.close()
        link.note("Names that we give are taken; its acceptor can't see them.")
    else:
        raise notOnWire("streams have no label")


@scenario("detected: wire=auto makes out the peer's wire")
async def detected(link: Link) -> None:
    if link.role != "dials":
        raise notInRole("only who accepts carriers has to make out their wire")
    endpoint = serverFromString(reactor, "mux:tcp:0:interface=127.0.0.1:wire=auto")
    port = await endpoint.listen(link.services)
    link.spawn(f"127.0.0.1:{port.getHost().port}")
    link.version = (await link.peer.ready())["version"]
    await link.peerOpens("echo", size=1000)
    (service,) = link.services.accepted
    assert service.transport.wire == link.wire
    await link.peer.kill()
    await port.stopListening()

import asyncio

from twisted_mux.config import MuxConfig
from twisted_mux.engine.session import Session
from twisted_mux.wire import codecNamed


class MuxDriver(asyncio.Protocol):
    """Drives a session of the engine on one connection of asyncio."""

    def __init__(self, role, accept=lambda stream: None, wire="yamux"):
        self.now = asyncio.get_running_loop().time
        self.streamOpened = accept
        self.ended = asyncio.Event()
        self.full = self.paused = False
        self.timer = None
        codec = codecNamed(wire)
        config = MuxConfig().forWire(codec.capabilities)
        self.session = Session(codec, role, config, self, self.now())

    # asyncio calls these.

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.session.receive(data, self.now())
        self.flush()

    def pause_writing(self):
        self.full = True
        self.session.pauseWriting(self.now())

    def resume_writing(self):
        self.full = False
        self.session.resumeWriting(self.now())
        self.flush()

    def connection_lost(self, error):
        self.session.lost()
        if self.timer:
            self.timer.cancel()
        self.ended.set()

    # The session calls these.

    def wake(self, afresh):
        asyncio.get_running_loop().call_soon(self.turn)

    def tickAt(self, when):
        if self.timer:
            self.timer.cancel()
        self.timer = asyncio.get_running_loop().call_at(when, self.tick)

    def sessionEnded(self, error):
        self.wake(False)

    def ignore(self, *arguments):
        pass

    opensAllowed = receiverFailed = pongReceived = goAwayReceived = ignore

    # The two things to do.

    def turn(self):
        self.session.turn(self.now())
        self.flush()

    def tick(self):
        self.session.tick(self.now())
        self.flush()

    def flush(self):
        session = self.session
        while session.hasOutput() and not self.full and not self.ended.is_set():
            self.transport.write(b"".join(session.takeOutput(65536)))
            session.settle()
        if session.reading == self.paused and not session.over:
            self.paused = not session.reading
            (
                self.transport.pause_reading
                if self.paused
                else self.transport.resume_reading
            )()
        if session.drained:
            session.finish()
        if session.over:
            self.transport.close()

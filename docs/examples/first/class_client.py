from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver

from twisted_mux import MuxFactory


class Asker(LineReceiver):
    def __init__(self, line):
        self.line = line
        self.answer = Deferred()

    def connectionMade(self):
        self.sendLine(self.line)

    def lineReceived(self, line):
        self.answer.callback(line)
        self.transport.loseConnection()


async def main(reactor):
    carrier = TCP4ClientEndpoint(reactor, "127.0.0.1", 7001)
    session = await carrier.connect(MuxFactory(role="client"))
    print(f"round trip: {await session.ping() * 1000:.1f} ms")

    # A session opens streams itself ...
    asker = await session.openStream(Factory.forProtocol(lambda: Asker(b"one")))
    print("answer:", (await asker.answer).decode())

    # ... or through an endpoint, for whatever wants one.
    asker = await connectProtocol(session.clientEndpoint(), Asker(b"two"))
    print("answer:", (await asker.answer).decode())

    await session.close()


react(main)

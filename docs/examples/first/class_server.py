from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver

from twisted_mux import MuxConfig, MuxFactory


class Upper(LineReceiver):
    def connectionMade(self):
        print("stream", self.transport.streamId, "on", self.transport.wire)

    def lineReceived(self, line):
        self.sendLine(line.upper())


def sessionStarted(session):
    print("carrier from", session.peerAddress)


async def main(reactor):
    factory = MuxFactory(
        Factory.forProtocol(Upper),
        role="server",
        config=MuxConfig(maxStreams=100),
        sessionStarted=sessionStarted,
    )
    endpoint = TCP4ServerEndpoint(reactor, 7001, interface="127.0.0.1")
    port = await endpoint.listen(factory)
    print("listening on", port.getHost())
    await Deferred()  # for ever


react(main)

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver


class Upper(LineReceiver):
    def connectionMade(self):
        print("connection from", self.transport.getPeer())

    def lineReceived(self, line):
        self.sendLine(line.upper())


async def main(reactor):
    endpoint = serverFromString(reactor, "mux:tcp:7000:interface=127.0.0.1")
    port = await endpoint.listen(Factory.forProtocol(Upper))
    print("listening on", port.getHost())
    await Deferred()  # for ever


react(main)

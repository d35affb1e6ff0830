from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    connectProtocol,
    wrapClientTLS,
)
from twisted.internet.protocol import Factory
from twisted.internet.ssl import (
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver

from twisted_mux import MuxFactory


class Upper(LineReceiver):
    def connectionMade(self):
        carrier = self.transport.session.transport
        certificate = carrier.getPeerCertificate().to_cryptography()
        print("the client is", certificate.subject.rfc4514_string())

    def lineReceived(self, line):
        self.sendLine(line.upper())


class Asker(LineReceiver):
    def connectionMade(self):
        self.answer = Deferred()
        self.sendLine(b"hello")

    def lineReceived(self, line):
        self.answer.callback(line)


def certified(name):
    """A certificate and its key, both in PEM."""
    pem = Path(f"{name}.pem").read_bytes() + Path(f"{name}-key.pem").read_bytes()
    return PrivateCertificate.loadPEM(pem)


async def main(reactor):
    server, client = certified("server"), certified("laptop")

    # A server that takes this one client.  Where an authority has signed for
    # several, trust that.
    options = server.options(client)
    endpoint = SSL4ServerEndpoint(reactor, 7001, options, interface="127.0.0.1")
    factory = MuxFactory(Factory.forProtocol(Upper), role="server")
    port = await endpoint.listen(factory)

    # A client that takes this one server.
    options = optionsForClientTLS(
        "server.example",
        trustRoot=trustRootFromCertificates([server]),
        clientCertificate=client,
    )
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", 7001)
    session = await wrapClientTLS(options, endpoint).connect(MuxFactory(role="client"))

    asker = await connectProtocol(session.clientEndpoint(), Asker())
    print("answer:", (await asker.answer).decode())
    asker.transport.loseConnection()
    await session.close()
    await port.stopListening()


react(main)

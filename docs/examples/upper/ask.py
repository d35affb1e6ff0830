import sys

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.task import react
from twisted.protocols.basic import LineOnlyReceiver


class Asker(LineOnlyReceiver):
    delimiter = b"\n"

    def connectionMade(self):
        self.answer = Deferred()

    def lineReceived(self, line):
        self.answer.callback(line.decode())
        self.transport.loseConnection()


async def main(reactor, string):
    endpoint = clientFromString(reactor, string)
    for word in (b"one", b"two", b"three"):
        asker = await connectProtocol(endpoint, Asker())
        asker.sendLine(word)
        print("answer:", await asker.answer)


react(main, sys.argv[1:])

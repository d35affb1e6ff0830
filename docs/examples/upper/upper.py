import sys

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.basic import LineOnlyReceiver


class Upper(LineOnlyReceiver):
    delimiter = b"\n"

    def lineReceived(self, line):
        self.sendLine(line.upper())


async def main(reactor, string):
    await serverFromString(reactor, string).listen(Factory.forProtocol(Upper))
    print("listening")
    await Deferred()  # for ever


react(main, sys.argv[1:])

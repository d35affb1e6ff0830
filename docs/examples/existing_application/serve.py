import sys

from application import Calculator, ChatFactory
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import react


async def main(reactor, chat, calculator):
    await serverFromString(reactor, chat).listen(ChatFactory())
    factory = Factory.forProtocol(Calculator)
    await serverFromString(reactor, calculator).listen(factory)
    print("ready")
    await Deferred()  # for ever


react(main, sys.argv[1:])

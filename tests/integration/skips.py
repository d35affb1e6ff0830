"""
The tests of Twisted's own that can't apply to streams, each with the reason.

A name is that of the class in Twisted and of the test.
"""

from __future__ import annotations

from typing import Any

_TEXT = "looks for the number of a socket in the text of a transport, or in logstr"
_READERS = "looks for the transport among what the reactor reads from"
_DESCRIPTORS = "is about running out of file descriptors"
_SOCKET = "its client is a bare socket, which opens no stream"
_LOG = "looks for what the class Port of TCP writes to the log"

SKIPS: dict[str, str] = {
    "TCPClientTestsBase.test_addresses": "asks for the private attribute addr",
    "TCPConnectionTestsBuilder.test_resumeProducing": _READERS,
    "TCPConnectionTestsBuilder.test_resumeProducingWhileDisconnecting": _READERS,
    "TCPConnectionTestsBuilder.test_resumeProducingWhileDisconnected": (
        "calls connectionLost, which is not the protocol's to call"
    ),
    "TCPTransportServerAddressTestMixin.test_serverAddressTCP4": _TEXT,
    "TCPTransportServerAddressTestMixin.test_serverAddressTCP6": _TEXT,
    "StreamTransportTestsMixin.test_startedListeningLogMessage": _LOG,
    "StreamTransportTestsMixin.test_connectionLostLogMsg": _LOG,
    "StreamTransportTestsMixin.test_closePeerOnEMFILE": _DESCRIPTORS,
    "HalfCloseTests.testCloseWriteCloser": (
        "asks for the private attribute _tempDataBuffer"
    ),
    "ListeningTests.testPortRepr": _TEXT,
    "ListeningTests.test_serverRepr": _TEXT,
    "ListeningTests.test_directConnectionLostCall": (
        "calls connectionLost of the class Port of TCP"
    ),
    "ListeningTests.test_exceptInConnectionLostCall": (
        "calls connectionLost of the class Port of TCP"
    ),
    "LogTests.test_logstrClientSetup": _TEXT,
    "PauseProducingTests.test_pauseProducingInConnectionMade": _READERS,
    "ProperlyCloseFilesMixin.test_properlyCloseFiles": (
        "asks the transport for its socket"
    ),
    **{
        f"TCPPortTestsMixin.test_{name}": _SOCKET
        for name in (
            "buildProtocolIPv4Address",
            "buildProtocolIPv6Address",
            "buildProtocolIPv6AddressScopeID",
            "serverGetHostOnIPv4",
            "serverGetHostOnIPv6",
            "serverGetHostOnIPv6ScopeID",
            "serverGetPeerOnIPv4",
            "serverGetPeerOnIPv6",
            "serverGetPeerOnIPv6ScopeID",
        )
    },
}


_NO_RESET = "the wire has no reset: an abort looks like an end"

_NOT_TOLD = (
    "the wire has no reset: who does not read, and writes on, can't be told that "
    "nobody is there"
)

#: Besides, on wires without a reset.
SKIPS_WITHOUT_RESET: dict[str, str] = {
    "AbortConnectionTests.test_serverAbortsConnectionTwice": _NO_RESET,
    "AbortConnectionTests.test_serverAbortsConnectionThenLosesConnection": _NO_RESET,
    "StreamClientTestsMixin.test_unregisterProducerAfterDisconnect": _NOT_TOLD,
    "WriteDataTests.test_writeAfterShutdownWithoutReading": _NOT_TOLD,
}

_STOP = (
    "a reactor on asyncio has a delayed call left when it is stopped from a delayed "
    "call"
)

#: Besides, on asyncio.
SKIPS_ON_ASYNCIO: dict[str, str] = {
    "AbortConnectionTests.test_serverAbortsConnectionTwice": _STOP,
    "AbortConnectionTests.test_serverAbortsConnectionThenLosesConnection": _STOP,
}


def withSkips(cls: type[Any], *lists: dict[str, str]) -> type[Any]:
    """
    A test case with its tests skipped that are listed, by the name of any class
    that it inherits from.
    """
    for base in cls.__mro__:
        for skips in (SKIPS, *lists):
            for name, reason in skips.items():
                owner, method = name.split(".")
                if base.__name__ == owner and hasattr(cls, method):
                    _skip(cls, method, reason)
    return cls


def _skip(cls: type[Any], name: str, reason: str) -> None:
    def skipped(self: object) -> None:
        raise AssertionError("skipped")

    skipped.skip = reason  # type: ignore[attr-defined]
    setattr(cls, name, skipped)

"""
How messages call addresses.
"""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from zope.interface import implementer

from twisted_mux.address import MuxAddress, describeAddress


@implementer(IAddress)
class PipeAddress:
    """
    Has nothing to say, as that of Twisted's standard input and output.
    """


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (IPv4Address("TCP", "192.0.2.1", 7), "192.0.2.1:7"),
        (IPv6Address("TCP", "2001:db8::1", 7), "[2001:db8::1]:7"),
        (UNIXAddress("/run/mux"), "UNIXAddress('/run/mux')"),
        (MuxAddress("yamux", None), "MuxAddress(wire='yamux', carrier=None)"),
        (PipeAddress(), "PipeAddress"),
    ],
)
def test_described(address: object, expected: str) -> None:
    """
    As short as it can be, and the same in each run.
    """
    assert describeAddress(address) == expected

"""
TLS on streams, with C{openssl s_client}.
"""

from __future__ import annotations

import os

import pytest
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.protocols.wire import Echo

from tests.integration.certificates import HOST, Certificates
from tests.integration.forwarder import LOOPBACK, onReactor, program, run, served
from twisted_mux.wire import wireNames


class Upper(Echo):
    """
    An echo that is heard to be one, and that ends with the line C{end}.
    """

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data.upper())
        if data.endswith(b"end\n"):
            self.transport.loseConnection()


@pytest.mark.parametrize("wire", wireNames())
@onReactor
async def test_openssl(wire: str, certificates: Certificates) -> None:
    """
    It trusts the certificate, and all comes back before TLS is closed in order.
    """
    command = program("openssl", "openssl")
    text = os.urandom(50_000).hex().encode()
    secure = TLSMemoryBIOFactory(
        certificates.serverContext(), False, Factory.forProtocol(Upper)
    )
    secure.noisy = False
    async with served(wire, secure) as there:
        output = await run(
            command,
            "s_client",
            *("-connect", f"{LOOPBACK}:{there.port}", "-servername", HOST),
            *("-CAfile", str(certificates.authority), "-verify_hostname", HOST),
            *("-verify_return_error", "-quiet"),
            stdin=text + b"\nend\n",
        )
    assert output == text.upper() + b"\nEND\n"

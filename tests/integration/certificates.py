"""
Certificates for a server and a client, both good, and the contexts of TLS that go with
them.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, cast

from cryptography.x509.oid import ExtendedKeyUsageOID
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)

from tests.integration.authority import Authority

#: The server's name in its certificate; it has the address as well.
HOST = "localhost"
ADDRESS = "127.0.0.1"


class Certificates:
    """
    Made once, in a folder; the attributes are the files.

    @ivar authority: the authority's certificate.
    @ivar serverKey: the server's private key, alone.
    @ivar serverCertificate: the server's certificate, alone.
    @ivar clientKey: the client's private key.
    @ivar clientCertificate: the client's certificate.
    @ivar folder: has nothing but the authority's certificate and is where
        C{caCertsDir=} may point.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "authorities"
        self.folder.mkdir()
        one = Authority(self.folder)
        self.authority = one.file
        server = one.issue(
            HOST, (HOST, ADDRESS), purpose=ExtendedKeyUsageOID.SERVER_AUTH
        )
        client = one.issue("client", purpose=ExtendedKeyUsageOID.CLIENT_AUTH)
        self.serverKey, self.serverCertificate = _apart(server, folder)
        self.clientKey, self.clientCertificate = _apart(client, folder)

    @property
    def server(self) -> PrivateCertificate:
        """
        The server's certificate and key.
        """
        return _pair(self.serverKey, self.serverCertificate)

    @property
    def client(self) -> PrivateCertificate:
        """
        The client's certificate and key.
        """
        return _pair(self.clientKey, self.clientCertificate)

    @property
    def authorityCertificate(self) -> Certificate:
        """
        The authority's certificate.
        """
        return Certificate.loadPEM(self.authority.read_bytes())

    def standardContext(self) -> ssl.SSLContext:
        """
        What a client of the standard library needs.
        """
        return ssl.create_default_context(cafile=str(self.authority))

    def serverContext(self) -> CertificateOptions:
        """
        What a server needs.
        """
        return cast(CertificateOptions, self.server.options())

    def strictServerContext(self) -> CertificateOptions:
        """
        What a server needs that takes nobody but clients of our authority.
        """
        return cast(CertificateOptions, self.server.options(self.authorityCertificate))

    def clientContext(self, certificate: bool = False) -> Any:
        """
        What a client needs that trusts our authority and nobody else.

        @param certificate: does it have a certificate itself?
        """
        return optionsForClientTLS(
            HOST,
            trustRootFromCertificates([self.authorityCertificate]),
            self.client if certificate else None,
        )


def _apart(both: Path, folder: Path) -> tuple[Path, Path]:
    """
    Put a key and its certificate into a file each, in another folder.
    """
    certificate, begin, key = both.read_bytes().partition(b"-----BEGIN PRIVATE KEY")
    both.unlink()
    files = folder / f"{both.stem}-key.pem", folder / both.name
    files[0].write_bytes(begin + key)
    files[1].write_bytes(certificate)
    return files


def _pair(key: Path, certificate: Path) -> PrivateCertificate:
    pem = key.read_bytes() + certificate.read_bytes()
    return cast(PrivateCertificate, PrivateCertificate.loadPEM(pem))

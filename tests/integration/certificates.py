"""
An authority of our own, certificates of it for a server and a client, and the contexts
of TLS that go with them.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)

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
        self.authority = self.folder / "authority.pem"
        self.serverKey = folder / "server-key.pem"
        self.serverCertificate = folder / "server.pem"
        self.clientKey = folder / "client-key.pem"
        self.clientCertificate = folder / "client.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = _name("authority of the tests")
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        # Since Python 3.13 the standard library's clients insist on it.
        usage = _signs()
        authority = _certificate(
            issuer, issuer, key, key, (constraints, True), (usage, True)
        )
        _writeCertificate(self.authority, authority)
        names = x509.SubjectAlternativeName(
            [x509.DNSName(HOST), x509.IPAddress(ipaddress.ip_address(ADDRESS))]
        )
        for keyPath, path, subject, purpose, extensions in (
            (
                self.serverKey,
                self.serverCertificate,
                HOST,
                ExtendedKeyUsageOID.SERVER_AUTH,
                [(names, False)],
            ),
            (
                self.clientKey,
                self.clientCertificate,
                "client",
                ExtendedKeyUsageOID.CLIENT_AUTH,
                [],
            ),
        ):
            own = ec.generate_private_key(ec.SECP256R1())
            certificate = _certificate(
                _name(subject),
                issuer,
                own,
                key,
                *extensions,
                (x509.ExtendedKeyUsage([purpose]), False),
            )
            _writeCertificate(path, certificate)
            keyPath.write_bytes(
                own.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )

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


def _pair(key: Path, certificate: Path) -> PrivateCertificate:
    pem = key.read_bytes() + certificate.read_bytes()
    return cast(PrivateCertificate, PrivateCertificate.loadPEM(pem))


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _signs() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuerKey: ec.EllipticCurvePrivateKey,
    *extensions: tuple[x509.ExtensionType, bool],
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    issuerIdentifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(
        issuerKey.public_key()
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(identifier, False)
        .add_extension(issuerIdentifier, False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuerKey, hashes.SHA256())


def _writeCertificate(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

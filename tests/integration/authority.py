"""
Authorities, and certificates of all kinds, the wrong ones above all.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM
# Since Python 3.13 the standard library's clients insist on it.
_SIGNS = x509.KeyUsage(
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


class Authority:
    """
    An authority.

    @ivar file: its certificate.
    """

    def __init__(self, folder: Path, name: str = "one", above: Authority | None = None):
        """
        @param above: who vouches for it; itself if nobody does.
        """
        self._folder = folder
        self._subject = _named(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / f"{name}-authority.pem"
        issuer = self if above is None else above
        self._identifier = x509.SubjectKeyIdentifier.from_public_key(
            self._key.public_key()
        )
        certificate = (
            issuer._builder(self._subject, self._key, (-1, 1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
            .add_extension(_SIGNS, True)
            .sign(issuer._key, hashes.SHA256())
        )
        self.file.write_bytes(certificate.public_bytes(PEM))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: tuple[int, int]
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        mine = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            self._identifier
        )
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=days[0]))
            .not_valid_after(now + datetime.timedelta(days=days[1]))
            .add_extension(mine, False)
            .add_extension(issuer, False)
        )

    def issue(
        self,
        name: str,
        names: Sequence[str] = (),
        days: tuple[int, int] = (-1, 1),
        password: bytes | None = None,
        chain: Sequence[Authority] = (),
        purpose: x509.ObjectIdentifier | None = None,
    ) -> Path:
        """
        A certificate.

        @param name: the common name.
        @param names: alternative names, of all kinds.
        @param days: from when to when, from now.
        @param password: the key's.
        @param chain: authorities whose certificates go into the same file.
        @param purpose: the only one that it is for.
        @return: the file with it and its key.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_named(name), key, days)
        if names:
            alternatives = x509.SubjectAlternativeName([_alternative(n) for n in names])
            builder = builder.add_extension(alternatives, False)
        if purpose is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), False)
        certificate = builder.sign(self._key, hashes.SHA256())
        encryption: serialization.KeySerializationEncryption = (
            serialization.NoEncryption()
        )
        if password is not None:
            encryption = serialization.BestAvailableEncryption(password)
        file = self._folder / f"{name or 'nameless'}.pem"
        file.write_bytes(
            certificate.public_bytes(PEM)
            + b"".join(each.file.read_bytes() for each in chain)
            + key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, encryption)
        )
        return file


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        if "://" in name:
            return x509.UniformResourceIdentifier(name)
        return x509.RFC822Name(name) if "@" in name else x509.DNSName(name)


def fingerprintOf(file: Path) -> str:
    """
    The SHA-256 of the certificate in a file.
    """
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    return certificate.fingerprint(hashes.SHA256()).hex()

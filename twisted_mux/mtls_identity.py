"""
Who we are, for C{mtls:}, and whom we accept: what the files say, and what a peer's
certificate has to say.

The files are read anew whenever they are asked for.  Whatever is wrong with them is one
L{ConfigError} that names the option and the file; a private key that has a password is
wrong, too, since nobody is there to be asked for it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from OpenSSL.crypto import X509, PKey
from OpenSSL.SSL import Error as OpenSSLError
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    trustRootFromCertificates,
)
from twisted.python.failure import Failure

from twisted_mux.errors import ConfigError
from twisted_mux.tls_reasons import explainTLS

__all__ = [
    "Identity",
    "isAddress",
    "nameComplaint",
    "namesIn",
    "parseIdentity",
    "toASCII",
]


@dataclass(frozen=True)
class Identity:
    """
    Who we are, and whom we accept.

    @ivar certificate: the file, in PEM, with our certificate, and behind it those of
        authorities between that and the peer's trust roots, if there are any.
    @ivar privateKey: the file with its key, which may be the same.
    @ivar trustRoots: the file with the authorities' certificates, or a folder of such
        files called C{*.pem}.
    @ivar peers: the names of which a peer must have one; any will do if there are
        none.
    @ivar fingerprints: the same for certificates, by the SHA-256 of their DER, in hex.
    """

    certificate: str
    privateKey: str
    trustRoots: str
    peers: frozenset[str] = frozenset()
    fingerprints: frozenset[str] = frozenset()

    def options(self) -> CertificateOptions:
        """
        For a handshake, on either side.

        @raise ConfigError: there is something wrong with a file.
        """
        own, *more = self._chain()
        options = CertificateOptions(
            privateKey=self._key(own),
            certificate=own,
            extraCertChain=more,
            trustRoot=self._roots(),
            raiseMinimumTo=TLSVersion.TLSv1_2,
        )
        try:
            options.getContext()
        except OpenSSLError as error:
            # A key that is too short for its rules, say.
            why = explainTLS(Failure(error)).getErrorMessage()
            raise ConfigError(f"certificate={self.certificate}: {why}") from None
        return options

    def _chain(self) -> list[X509]:
        return _certificates("certificate", Path(self.certificate))

    def _key(self, certificate: X509) -> PKey:
        path = self.privateKey
        pem = _read("privateKey", Path(path))
        try:
            key = serialization.load_pem_private_key(pem, None)
            own = PKey.from_cryptography_key(key)  # type: ignore[arg-type]
        except Exception as error:
            # A TypeError is about a password; the others are of all kinds.
            password = isinstance(error, TypeError)
            what = "the key has a password" if password else "no key in PEM"
            raise ConfigError(f"privateKey={path}: {what}") from None
        form = (
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
        public = certificate.to_cryptography().public_key()
        if key.public_key().public_bytes(*form) != public.public_bytes(*form):
            raise ConfigError(
                f"privateKey={path} does not belong to certificate={self.certificate}"
            )
        return own

    def _roots(self) -> Any:
        path = Path(self.trustRoots)
        try:
            files = sorted(path.glob("*.pem")) if path.is_dir() else [path]
        except OSError:
            # A name that is too long, say: reading it says so.
            files = [path]
        found = [each for file in files for each in _certificates("trustRoots", file)]
        if not found:
            raise ConfigError(f"trustRoots={path}: no file *.pem is there")
        return trustRootFromCertificates([Certificate(each) for each in found])

    def complaint(self, certificate: x509.Certificate) -> str:
        """
        What speaks against a peer whose certificate is valid.

        @return: one line; empty if nothing does.
        """
        names = namesIn(certificate)
        if self.peers and not self.peers & names:
            return (
                f"the peer's certificate is for {', '.join(sorted(names)) or 'nobody'},"
                f" not for {' or '.join(sorted(self.peers))}"
            )
        form = serialization.Encoding.DER
        fingerprint = hashlib.sha256(certificate.public_bytes(form)).hexdigest()
        if self.fingerprints and fingerprint not in self.fingerprints:
            return f"the peer's certificate has another fingerprint: {fingerprint}"
        return ""


def nameComplaint(name: str, certificate: x509.Certificate) -> str:
    """
    What speaks against a server that should have this name, by the rules that all
    clients of TLS have (RFC 9525).

    @param name: in ASCII, as L{toASCII} makes it.
    @return: one line; empty if nothing does.
    """
    try:
        if isAddress(name):
            verify_certificate_ip_address(certificate, name)
        else:
            verify_certificate_hostname(certificate, name)
    except (VerificationError, CertificateError):
        names = ", ".join(sorted(namesIn(certificate))) or "nobody"
        return f"the peer's certificate is for {names}, not for {name}"
    return ""


def isAddress(name: str) -> bool:
    """
    Is it an address, rather than a name?
    """
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def toASCII(name: str) -> str:
    """
    A name as certificates have it.

    @raise ConfigError: it is none.
    """
    try:
        return name if isAddress(name) else name.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ConfigError(f"{name!r} is no name of a host: {error}") from None


def namesIn(certificate: x509.Certificate) -> frozenset[str]:
    """
    The names that a certificate is for.
    """
    try:
        names = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return frozenset(_normal(str(each.value)) for each in common)
    return frozenset(
        _normal(str(each.value))
        for each in names
        if isinstance(
            each,
            x509.DNSName
            | x509.IPAddress
            | x509.RFC822Name
            | x509.UniformResourceIdentifier,
        )
    )


def _normal(name: str) -> str:
    if isAddress(name):
        return str(ip_address(name))
    return name if "/" in name else name.lower()


def _read(option: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"{option}={path}: {why}") from None


def _certificates(option: str, path: Path) -> list[X509]:
    """
    All that are in a file.
    """
    found = re.findall(
        b"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----",
        _read(option, path),
        re.DOTALL,
    )
    try:
        certificates = [
            X509.from_cryptography(x509.load_pem_x509_certificate(pem)) for pem in found
        ]
    except ValueError:
        raise ConfigError(f"{option}={path}: a certificate is damaged") from None
    if not certificates:
        raise ConfigError(f"{option}={path}: no certificate in PEM")
    return certificates


def parseIdentity(options: Mapping[str, str]) -> tuple[Identity, dict[str, str]]:
    """
    What an endpoint string says about that.

    @return: also the options that are about something else.
    @raise ConfigError: it makes no sense, or the files don't.
    """
    rest = dict(options)
    for needed in ("certificate", "trustRoots"):
        if not rest.get(needed):
            raise ConfigError(f"mtls: needs {needed}=")
    certificate = rest.pop("certificate")
    identity = Identity(
        certificate,
        rest.pop("privateKey", certificate),
        rest.pop("trustRoots"),
        frozenset(_normal(name) for name in _listed("peer", rest)),
        frozenset(_fingerprint(text) for text in _listed("fingerprint", rest)),
    )
    identity.options()
    return identity, rest


def _listed(option: str, rest: dict[str, str]) -> list[str]:
    if option not in rest:
        return []
    values = [value.strip() for value in rest.pop(option).split(",")]
    if not all(values):
        raise ConfigError(f"{option}= has an empty entry")
    return values


def _fingerprint(text: str) -> str:
    digits = text.lower().replace(":", "").removeprefix("sha256")
    if not re.fullmatch("[0-9a-f]{64}", digits):
        raise ConfigError(f"fingerprint= takes 64 hex digits of SHA-256, not {text!r}")
    return digits

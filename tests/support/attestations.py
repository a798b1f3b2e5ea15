"""A Sigstore of the tests' own: keys of a test sign as its services do, for its library to verify.

It has a certificate authority, a log of certificates (RFC 6962) and a log of signatures with one
entry, as docs of sigstore describe them: specification "Sigstore Client Specification".
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pypi_attestations import AttestationType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PUBLISHER = {
    "kind": "GitHub",
    "repository": "owner/thing",
    "workflow": "release.yml",
    "environment": "release",
}

ISSUER = "https://token.actions.githubusercontent.com"
PAYLOAD_TYPE = "application/vnd.in-toto+json"

_SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_CLAIMS = "1.3.6.1.4.1.57264.1."
"""Where Fulcio's extensions begin (its document oid-info)."""


class Sigstore:
    """Signs with certificates that live for ten minutes, and logs what it signs."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC).replace(microsecond=0) - timedelta(days=30)
        self._authority = ec.generate_private_key(ec.SECP256R1())
        self._log = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
        usage = _usage(signs_certificates=True)
        self._root = (
            self._certificate(name, self._authority)
            .issuer_name(name)
            .not_valid_after(self._now + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._authority, hashes.SHA256())
        )

    def trusted_root(self, path: Path) -> Path:
        """Write what verifiers trust, as the library reads it."""
        period = {"start": _time(self._now - timedelta(days=1))}
        log = {
            "baseUrl": "https://log.test",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": _base64(_public(self._log)),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": period,
            },
            "logId": {"keyId": _base64(_key_id(self._log))},
        }
        authority = {
            "subject": {"organization": "test", "commonName": "authority of a test"},
            "certChain": {"certificates": [{"rawBytes": _base64(_der(self._root))}]},
            "validFor": period,
        }
        content = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log],
            "certificateAuthorities": [authority],
            "ctlogs": [log],
        }
        path.write_text(json.dumps(content))
        return path

    def provenance(
        self,
        filename: str,
        sha256: str,
        *,
        claimed: Mapping[str, str] = PUBLISHER,
        signer: Mapping[str, str] | None = None,
        late: timedelta = timedelta(0),
    ) -> bytes:
        """Return the provenance object of a file (PEP 740).

        Args:
            filename: Its name.
            sha256: Its SHA-256, in hex.
            claimed: Who the index says has published it.
            signer: Who signed, if it is another.
            late: How long after the certificate was issued it was signed.
        """
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": filename, "digest": {"sha256": sha256}}],
            "predicateType": AttestationType.PYPI_PUBLISH_V1.value,
            "predicate": None,
        }
        attestation = self.attestation(json.dumps(statement).encode(), signer or claimed, late)
        bundle = {"publisher": {**claimed, "claims": None}, "attestations": [attestation]}
        return json.dumps({"version": 1, "attestation_bundles": [bundle]}).encode()

    def attestation(
        self, payload: bytes, signer: Mapping[str, str], late: timedelta = timedelta(0)
    ) -> dict[str, Any]:
        """Sign a statement as a workflow of a repository."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._issued(key, signer)
        words = (b"DSSEv1", str(len(PAYLOAD_TYPE)).encode(), PAYLOAD_TYPE.encode())
        signature = _signed(key, b" ".join([*words, str(len(payload)).encode(), payload]))
        when = int((self._now + late).timestamp())
        return {
            "version": 1,
            "verification_material": {
                "certificate": _base64(_der(certificate)),
                "transparency_entries": [self._entry(certificate, payload, signature, when)],
            },
            "envelope": {"statement": _base64(payload), "signature": _base64(signature)},
        }

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )

    def _issued(
        self, key: ec.EllipticCurvePrivateKey, signer: Mapping[str, str]
    ) -> x509.Certificate:
        """Return a certificate for a workflow, logged before it is issued (RFC 6962)."""
        repository = f"https://github.com/{signer['repository']}"
        workflow = f"{repository}/.github/workflows/{signer['workflow']}@refs/tags/v1"
        claims = {8: ISSUER, 12: repository, 14: "refs/tags/v1", 18: workflow}
        authority = self._authority.public_key()
        builder = (
            self._certificate(x509.Name([]), key)
            .issuer_name(self._root.subject)
            .not_valid_after(self._now + timedelta(minutes=10))
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), False)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(workflow)]), True
            )
        )
        for number, claim in claims.items():
            oid = x509.ObjectIdentifier(f"{_CLAIMS}{number}")
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, _utf8(claim)), False)
        body = builder.sign(self._authority, hashes.SHA256()).tbs_certificate_bytes
        issuer = hashlib.sha256(_public(self._authority)).digest()
        moment = int(self._now.timestamp() * 1000)
        size = len(body).to_bytes(3, "big")
        entry = struct.pack("!BBQH", 0, 0, moment, 1) + issuer + size + body + b"\0\0"
        signature = _signed(self._log, entry)
        stamp = struct.pack("!B32sQHBBH", 0, _key_id(self._log), moment, 0, 4, 3, len(signature))
        stamp = _sized(_sized(stamp + signature))
        extension = x509.UnrecognizedExtension(_SCT_LIST, b"\x04" + _length(stamp) + stamp)
        return builder.add_extension(extension, False).sign(self._authority, hashes.SHA256())

    def _entry(
        self, certificate: x509.Certificate, payload: bytes, signature: bytes, when: int
    ) -> dict[str, Any]:
        """Return the entry of a log that has no other."""
        pem = _base64(certificate.public_bytes(Encoding.PEM))
        spec: dict[str, Any] = {
            "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
            "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(b"").hexdigest()},
            "signatures": [{"signature": _base64(signature), "verifier": pem}],
        }
        body = rfc8785.dumps({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"log.test - 1\n1\n{_base64(root)}\n"
        mark = _base64(_key_id(self._log)[:4] + _signed(self._log, note.encode()))
        promised: dict[str, Any] = {
            "body": _base64(body),
            "integratedTime": when,
            "logID": _key_id(self._log).hex(),
            "logIndex": 0,
        }
        promise = _signed(self._log, rfc8785.dumps(promised))
        return {
            "logIndex": "0",
            "logId": {"keyId": _base64(_key_id(self._log))},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(when),
            "inclusionPromise": {"signedEntryTimestamp": _base64(promise)},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": _base64(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{note}\n\u2014 log.test {mark}\n"},
            },
            "canonicalizedBody": _base64(body),
        }


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(key: ec.EllipticCurvePrivateKey, content: bytes) -> bytes:
    return key.sign(content, ec.ECDSA(hashes.SHA256()))


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _key_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_public(key)).digest()


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _utf8(text: str) -> bytes:
    content = text.encode()
    return b"\x0c" + _length(content) + content


def _length(content: bytes) -> bytes:
    """Return how DER writes a length."""
    size = len(content)
    if size < 128:
        return bytes([size])
    count = (size.bit_length() + 7) // 8
    return bytes([0x80 | count]) + size.to_bytes(count, "big")


def _sized(content: bytes) -> bytes:
    """Return an opaque vector of TLS."""
    return len(content).to_bytes(2, "big") + content

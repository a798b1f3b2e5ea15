"""A Sigstore of the tests: its own certificate authority, transparency logs and bundles.

It signs statements through sigstore's library with keys of the test, and writes the trusted root
that verifies them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pypi_attestations import AttestationType
from sigstore import dsse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FULCIO = "1.3.6.1.4.1.57264.1."
"""Arc of Fulcio's extensions (Fulcio, oid-info.md)."""

SCTS = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
"""The extension for signed certificate timestamps (RFC 6962, 3.3)."""

PUBLISHER = {
    "kind": "GitHub",
    "repository": "owner/thing",
    "workflow": "release.yml",
    "environment": "release",
}
"""Who publishes on an index (PEP 740)."""

WORKFLOW = ".github/workflows/release.yml"
COMMIT = "1" * 40


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_der(key)).digest()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _tlv(tag: int, content: bytes) -> bytes:
    """Return content in DER."""
    size = len(content)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def _json(value: Any) -> bytes:
    return rfc8785.dumps(value)


@dataclass
class Sigstore:
    """One instance, with keys of its own."""

    authority: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    ctlog: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    rekor: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def __post_init__(self) -> None:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of the tests")])
        self._name = name
        self._root = (
            self._builder(name, self.authority.public_key(), timedelta(days=9))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(certificates=True), critical=True)
            .sign(self.authority, hashes.SHA256())
        )

    def write_root(self, path: Path) -> None:
        """Write the trusted root, as clients of Sigstore read it."""
        valid = {"start": (self.now - timedelta(days=9)).isoformat()}
        certificate = self._root.public_bytes(serialization.Encoding.DER)
        chain = {"certificates": [{"rawBytes": _b64(certificate)}]}
        root = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self._log(self.rekor, valid)],
            "certificateAuthorities": [
                {"subject": {"organization": "tests", "commonName": "tests"},
                 "uri": "https://fulcio.example.org", "certChain": chain, "validFor": valid}
            ],
            "ctlogs": [self._log(self.ctlog, valid)],
            "timestampAuthorities": [],
        }  # fmt: skip
        path.write_text(json.dumps(root), "utf-8")

    def bundle(
        self,
        *files: Path,
        repository: str = "owner/name",
        workflow: str = f"owner/name/{WORKFLOW}",
        ref: str = "refs/tags/alpha-v1.0.0",
        commit: str = COMMIT,
        predicate: str = "https://slsa.dev/provenance/v1",
        late: timedelta = timedelta(0),
    ) -> str:
        """Return a bundle for files; ``late`` is when the log takes it after the signature."""
        subjects = {path.name: _hash(path.read_bytes())["value"] for path in files}
        key = _key()
        certificate = self._leaf(key, repository, workflow, ref, commit)
        signed = _statement(key, subjects, predicate, {})
        entry = self._entry(signed, certificate, self.now + late)
        material = {
            "certificate": {"rawBytes": _b64(certificate.public_bytes(serialization.Encoding.DER))},
            "tlogEntries": [entry],
        }
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
                "verificationMaterial": material,
                "dsseEnvelope": signed,
            }
        )

    def provenance(
        self,
        filename: str,
        sha256: str,
        *,
        claimed: Mapping[str, str] = PUBLISHER,
        signer: Mapping[str, str] | None = None,
        late: timedelta = timedelta(0),
    ) -> bytes:
        """Return the provenance object that an index has of a file (PEP 740).

        Args:
            filename: Its name.
            sha256: Its SHA-256, in hex.
            claimed: Who the index says has published it.
            signer: Who signed, if it is another.
            late: When the log takes it after the signature.
        """
        by = signer or claimed
        key = _key()
        workflow = f"{by['repository']}/.github/workflows/{by['workflow']}"
        certificate = self._leaf(key, by["repository"], workflow, "refs/tags/v1", COMMIT)
        signed = _statement(key, {filename: sha256}, AttestationType.PYPI_PUBLISH_V1.value, None)
        attestation = {
            "version": 1,
            "verification_material": {
                "certificate": _b64(certificate.public_bytes(serialization.Encoding.DER)),
                "transparency_entries": [self._entry(signed, certificate, self.now + late)],
            },
            "envelope": {
                "statement": signed["payload"],
                "signature": signed["signatures"][0]["sig"],
            },
        }
        bundle = {"publisher": {**claimed, "claims": None}, "attestations": [attestation]}
        return json.dumps({"version": 1, "attestation_bundles": [bundle]}).encode()

    def _log(self, key: ec.EllipticCurvePrivateKey, valid: dict[str, str]) -> dict[str, Any]:
        public = {"rawBytes": _b64(_der(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
        return {
            "baseUrl": "https://log.example.org",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {**public, "validFor": valid},
            "logId": {"keyId": _b64(_id(key))},
        }

    def _builder(self, subject: x509.Name, key: Any, lifetime: timedelta) -> Any:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - lifetime)
            .not_valid_after(self.now + lifetime)
        )

    def _leaf(
        self,
        key: ec.EllipticCurvePrivateKey,
        repository: str,
        workflow: str,
        ref: str,
        commit: str,
    ) -> x509.Certificate:
        """Return a certificate of ten minutes, as Fulcio gives them to workflows."""
        signer = f"https://github.com/{workflow}@{ref}"
        said = {
            8: "https://token.actions.githubusercontent.com",
            9: signer,
            12: f"https://github.com/{repository}",
            13: commit,
            14: ref,
            18: signer,
        }
        code = [ExtendedKeyUsageOID.CODE_SIGNING]
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.public_key())
        builder = (
            self._builder(x509.Name([]), key.public_key(), timedelta(minutes=5))
            .add_extension(_usage(certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(code), critical=False)
            .add_extension(issuer, critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(signer)]), critical=True
            )
        )
        for number, text in said.items():
            oid = x509.ObjectIdentifier(f"{FULCIO}{number}")
            raw = _tlv(0x0C, text.encode())
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, raw), critical=False)
        plain = builder.sign(self.authority, hashes.SHA256()).tbs_certificate_bytes
        stamps = x509.UnrecognizedExtension(SCTS, self._stamped(plain))
        made: x509.Certificate = builder.add_extension(stamps, critical=False).sign(
            self.authority, hashes.SHA256()
        )
        return made

    def _stamped(self, certificate: bytes) -> bytes:
        """Return the list of the CT log's timestamps for a precertificate (RFC 6962, 3.2)."""
        milliseconds = int(self.now.timestamp() * 1000)
        entry = _id(self.authority) + len(certificate).to_bytes(3, "big") + certificate
        body = struct.pack("!BBQH", 0, 0, milliseconds, 1) + entry + b"\0\0"
        signature = _sign(self.ctlog, body)
        stamp = b"\0" + _id(self.ctlog) + struct.pack("!QH", milliseconds, 0)
        stamp += b"\x04\x03" + len(signature).to_bytes(2, "big") + signature
        listed = len(stamp).to_bytes(2, "big") + stamp
        return _tlv(0x04, len(listed).to_bytes(2, "big") + listed)

    def _entry(
        self, envelope: dict[str, Any], certificate: x509.Certificate, at: datetime
    ) -> dict[str, Any]:
        """Return the log's entry for an envelope, alone in its tree (Rekor, dsse 0.0.1)."""
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        payload = base64.b64decode(envelope["payload"])
        spec = {
            "envelopeHash": _hash(_json(envelope)),
            "payloadHash": _hash(payload),
            "signatures": [
                {"signature": one["sig"], "verifier": _b64(pem)} for one in envelope["signatures"]
            ],
        }
        body = _json({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})
        stamp = int(at.timestamp())
        promised = {"body": _b64(body), "integratedTime": stamp}
        promised |= {"logID": _id(self.rekor).hex(), "logIndex": 0}
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"log.example.org\n1\n{_b64(root)}\n"
        signed = _b64(_id(self.rekor)[:4] + _sign(self.rekor, note.encode()))
        proof = {"logIndex": "0", "rootHash": _b64(root), "treeSize": "1", "hashes": []}
        proof["checkpoint"] = {"envelope": f"{note}\n\N{EM DASH} log.example.org {signed}\n"}  # type: ignore[assignment]
        return {
            "logIndex": "0",
            "logId": {"keyId": _b64(_id(self.rekor))},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(stamp),
            "inclusionPromise": {"signedEntryTimestamp": _b64(_sign(self.rekor, _json(promised)))},
            "inclusionProof": proof,
            "canonicalizedBody": _b64(body),
        }


def _statement(
    key: ec.EllipticCurvePrivateKey,
    subjects: Mapping[str, str],
    predicate_type: str,
    predicate: dict[str, Any] | None,
) -> Any:
    """Sign a statement on files, given by name and SHA-256, and return the envelope."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": one}} for name, one in subjects.items()],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    envelope = dsse._sign(key, dsse.Statement(json.dumps(statement).encode()))
    return json.loads(envelope.to_json())


def _hash(data: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}


def _usage(*, certificates: bool) -> x509.KeyUsage:
    names = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    never = dict.fromkeys((*names, "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        **never,
    )

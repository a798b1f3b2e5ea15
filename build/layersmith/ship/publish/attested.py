"""Refuses to ship what the workflow that layers.yaml names did not build, by what it signed.

An attestation is a statement in a Sigstore bundle: digests of files, and a certificate that names
the workflow, the repository and the commit it ran for. All of it is checked offline, with the roots
that sigstore's library brings.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from sigstore.errors import Error
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier, policy

from layersmith import cache, console
from layersmith.assemble import manifest as manifests
from layersmith.assemble.outputs import Outputs
from layersmith.errors import BuildError, ConfigError, ManyErrors, ShipError
from layersmith.ship.github import Repository

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from cryptography.x509 import Certificate

    from layersmith.assemble.manifest import Manifest
    from layersmith.config.trust import Attestations
    from layersmith.errors import LayersmithError
    from layersmith.plan import Target

SUFFIX = ".sigstore.json"
"""End of the name of the file with bundles beside a zip, in the place of ``.zip``."""

SHARED = f"attestations{SUFFIX}"
"""The file with bundles of all zips of a folder, as the workflow layers-release leaves it."""

PROVENANCE = "https://slsa.dev/provenance/v1"
"""Type of the statement that says how a file was built (slsa.dev, SLSA 1.0)."""

IN_TOTO = "application/vnd.in-toto+json"

ISSUER = "https://token.actions.githubusercontent.com"
"""Who vouches for workflows of GitHub Actions (docs.github.com, OpenID Connect)."""

ANEW = "push the tag again, or build and attest in the workflow that layers.yaml names"


@dataclass(frozen=True)
class Signed:
    """A bundle whose signature, certificate and log entry are right.

    Attributes:
        digests: SHA-256 in hex of the files that it is for.
        predicate: Type of what it says of them.
        workflow: The workflow that signed: ``owner/name/.github/workflows/release.yml``.
        repository: The repository that it ran for, ``owner/name``.
        ref: The branch or tag that it ran for, in full.
        commit: The commit that it ran for.
        issuer: Who vouches for that.
    """

    digests: frozenset[str]
    predicate: str
    workflow: str
    repository: str
    ref: str
    commit: str
    issuer: str


def own(path: Path) -> Path:
    """Return where the bundles of a zip lie beside it."""
    return path.with_name(f"{path.name.removesuffix('.zip')}{SUFFIX}")


def beside(path: Path) -> list[str]:
    """Return the bundles that lie beside a zip, as JSON: one a line, or one in all."""
    there = (own(path), path.with_name(SHARED))
    file = next((one for one in there if one.is_file()), None)
    if file is None:
        return []
    text = file.read_text("utf-8", "replace")
    lines = [line for line in text.splitlines() if line.strip()]
    return lines if all(line.startswith("{") and line.endswith("}") for line in lines) else [text]


class AttestationCheck:
    """Checks files against the identity that layers.yaml names.

    Args:
        wanted: What layers.yaml asks for.
        root: Folder that its paths are relative to.

    Raises:
        ConfigError: The trusted root cannot be read.
    """

    def __init__(self, wanted: Attestations, root: Path) -> None:
        self._wanted = wanted
        logging.getLogger("sigstore").setLevel(logging.ERROR)
        if wanted.trusted_root:
            try:
                trusted = TrustedRoot.from_file(str(root / wanted.trusted_root))
                self._verifier = Verifier(trusted_root=trusted)
            except (Error, OSError, ValueError) as problem:
                raise ConfigError(
                    f"{wanted.trusted_root} is not a trusted root of Sigstore",
                    cause=str(problem).splitlines()[0],
                    hint="leave `trusted-root` out for the public Sigstore",
                ) from None
        else:
            self._verifier = Verifier.production(offline=True)

    def check(self, manifest: Manifest, files: Sequence[Path], bundles: Iterable[str]) -> None:
        """Refuse files that the named workflow did not make.

        Args:
            manifest: The manifest among the files.
            files: Zip, manifest and bill of materials.
            bundles: Bundles as JSON.

        Raises:
            ShipError: There is no attestation, or it is damaged, expired, for another file, or of
                another workflow, repository, tag or commit.
        """
        name = manifest.identifier
        said = [self._verified(name, text) for text in bundles]
        for path in files:
            digest = cache.sha256_file(path)
            mine = [one for one in said if digest in one.digests and one.predicate == PROVENANCE]
            if not mine:
                raise _unattested(name, path, digest, said)
            problems = [self._problem(one, manifest) for one in mine]
            if all(problems):
                what, expected, found = next(filter(None, problems))
                raise ShipError(
                    f"the attestation of {path.name} is of another {what}: {found}",
                    target=name,
                    cause=f"`attestations` in layers.yaml expects {expected}",
                    hint=f"do not publish this file; {ANEW}",
                )

    def _verified(self, name: str, text: str) -> Signed:
        """Return what a bundle says, its signature, certificate and log entry checked."""
        try:
            bundle = Bundle.from_json(text)
        except (Error, ValueError, TypeError, AttributeError) as problem:
            if "tlogEntries" in text and not _entries(text):
                raise ShipError(
                    "an attestation has no entry in a public transparency log",
                    target=name,
                    cause="GitHub logs attestations of private repositories nowhere",
                    hint="verify them by `gh attestation verify`, and set `require: false`",
                ) from None
            raise _damaged(name, str(problem)) from None
        try:
            kind, payload = self._verifier.verify_dsse(bundle, policy.UnsafeNoOp())
        except Error as problem:
            raise _refused(name, bundle, problem) from None
        return _read(name, kind, payload, bundle.signing_certificate)

    def _problem(self, one: Signed, manifest: Manifest) -> tuple[str, str, str] | None:
        """Return what of an identity is wrong, what it should be, and what it is."""
        wanted = self._wanted
        refs = list(wanted.refs)
        for key, value in (("{layer}", manifest.layer), ("{version}", manifest.version)):
            refs = [ref.replace(key, value) for ref in refs]
        commit = manifest.source.commit if manifest.source else None
        checks = (
            ("issuer", ISSUER, one.issuer, one.issuer == ISSUER),
            ("project", wanted.repository, one.repository, one.repository == wanted.repository),
            ("workflow", wanted.signer, one.workflow, one.workflow == wanted.signer),
            ("ref", " or ".join(refs), one.ref, any(fnmatchcase(one.ref, ref) for ref in refs)),
            ("commit", f"{commit} as the manifest", one.commit, commit in (None, one.commit)),
        )
        return next((check[:3] for check in checks if not check[3]), None)


def _entries(text: str) -> list[Any]:
    try:
        return list(json.loads(text)["verificationMaterial"]["tlogEntries"])
    except (ValueError, LookupError, TypeError):
        return []


def _read(name: str, kind: str, payload: bytes, certificate: Certificate) -> Signed:
    """Return the statement of a bundle and the identity of its certificate."""
    try:
        if kind != IN_TOTO:
            raise ValueError(f"it holds {kind}, no statement of in-toto")
        statement = json.loads(payload)
        digests = frozenset(str(one["digest"]["sha256"]) for one in statement["subject"])
        signer = _of(certificate, policy.OIDCBuildSignerURI)
        repository = _of(certificate, policy.OIDCSourceRepositoryURI)
        return Signed(
            digests=digests,
            predicate=str(statement["predicateType"]),
            workflow=signer.partition("@")[0].removeprefix("https://github.com/"),
            repository=repository.removeprefix("https://github.com/"),
            ref=_of(certificate, policy.OIDCSourceRepositoryRef),
            commit=_of(certificate, policy.OIDCSourceRepositoryDigest),
            issuer=_of(certificate, policy.OIDCIssuerV2),
        )
    except (ValueError, LookupError, TypeError) as problem:
        raise _damaged(name, str(problem)) from None


def _of(certificate: Certificate, extension: Any) -> str:
    """Return what an extension of Fulcio says: UTF8String in DER (Fulcio, oid-info.md)."""
    found = next((one for one in certificate.extensions if one.oid == extension.oid), None)
    if found is None:
        raise ValueError(f"its certificate lacks {extension.__name__}")
    raw: bytes = found.value.value
    long = raw[1] & 0x7F if raw[1] & 0x80 else 0
    return raw[2 + long :].decode("utf-8")


def _unattested(name: str, path: Path, digest: str, said: Sequence[Signed]) -> ShipError:
    others = any(digest in one.digests for one in said)
    if not said:
        return ShipError(
            f"{path.name} has no attestation",
            target=name,
            cause=f"there is no {path.stem}{SUFFIX} beside it, and GitHub has none for its digest",
            hint=f"{ANEW}; `attestations: {{require: false}}` publishes without",
        )
    what = "does not say how it was built" if others else "is for another file"
    return ShipError(
        f"the attestation of {path.name} {what}",
        target=name,
        cause=f"its SHA-256 is {digest}: it was built again, or changed after it was attested",
        hint=f"publish the files of the release; {ANEW}",
    )


def _refused(name: str, bundle: Bundle, problem: Exception) -> ShipError:
    """Return why the library refuses a bundle, an expired certificate in plain words."""
    certificate = bundle.signing_certificate
    stamp = bundle.log_entry._inner.integrated_time
    at = datetime.fromtimestamp(stamp, tz=UTC) if stamp else None
    ended = certificate.not_valid_after_utc
    if at and not certificate.not_valid_before_utc <= at <= ended:
        return ShipError(
            f"an attestation was signed with an expired certificate: valid until {ended:%F %T} UTC",
            target=name,
            cause=f"the log took it at {at:%F %T} UTC: somebody may have used the key later",
            hint=f"do not publish this file; {ANEW}",
        )
    return ShipError(
        f"an attestation does not verify: {problem}",
        target=name,
        cause="it was signed by somebody whom the trusted roots do not know, or was changed",
        hint=f"do not publish this file; {ANEW}",
    )


def _damaged(name: str, problem: str) -> ShipError:
    return ShipError(
        f"an attestation cannot be read: {problem.splitlines()[0] if problem else 'it is empty'}",
        target=name,
        cause="the file was cut short or changed, or is something else",
        hint="fetch it again: `gh attestation download FILE`",
    )


def require(wanted: Attestations, targets: Sequence[Target], dist: Path, root: Path) -> None:
    """Refuse targets whose files have no attestation, or a wrong one.

    Args:
        wanted: What layers.yaml asks for.
        targets: What is to be shipped.
        dist: Folder with zips, manifests, bills of materials and, beside them, attestations; what
            is not there is asked of GitHub.
        root: Folder that paths in layers.yaml are relative to.

    Raises:
        ManyErrors: All that is wrong.
        ShipError: GitHub refused, or the trusted root cannot be read.
    """
    check = AttestationCheck(wanted, root)
    problems: list[LayersmithError] = []
    for target in targets:
        try:
            _one(check, wanted, Outputs.of(target, dist))
        except (BuildError, ShipError) as problem:
            problem.target = target.identifier
            problems.append(problem)
    if problems:
        raise ManyErrors(problems)


def _one(check: AttestationCheck, wanted: Attestations, files: Outputs) -> None:
    manifest = manifests.read(files.manifest)
    there = [path for path in (files.zip, files.manifest, files.sbom) if path.is_file()]
    bundles = beside(files.zip)
    if not bundles:
        api = os.environ.get("GITHUB_API_URL") or "https://api.github.com"
        hub = Repository(wanted.repository, os.environ.get("GITHUB_TOKEN"), api)
        bundles = [text for path in there for text in hub.attestations(cache.sha256_file(path))]
    if not bundles and not wanted.require:
        console.warn(f"{manifest.identifier}: {files.zip.name} has no attestation")
        return
    check.check(manifest, there, bundles)
    if not own(files.zip).is_file():
        # `publish` keeps what lies beside the zip: it can be verified later without GitHub.
        lines = [json.dumps(json.loads(text)) for text in bundles]
        cache.write_text(own(files.zip), "\n".join(dict.fromkeys(lines)) + "\n")

"""What a release desires, what an account holds, and the steps between the two. Data alone."""

from __future__ import annotations

import base64
import dataclasses
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

Place = tuple[str, str, str]
"""Layer, runtime and architecture."""

LATEST = "latest"
"""Name of the pointer to the version that people should use."""

YANKED = "yanked/"
"""Names under this folder mark versions that were withdrawn; their value is the reason."""


@dataclass(frozen=True, order=True)
class Grant:
    """One permission to use a layer version.

    Attributes:
        principal: ``public``, an organization (``o-...``) or an account of 12 digits.
    """

    principal: str

    @property
    def sid(self) -> str:
        """Identifier of the policy statement, the same in every run."""
        return f"layersmith-{self.principal}"

    @property
    def arguments(self) -> dict[str, str]:
        """Arguments of AddLayerVersionPermission beside layer and version."""
        said = {"StatementId": self.sid, "Action": "lambda:GetLayerVersion"}
        if self.principal.startswith("o-"):
            return said | {"Principal": "*", "OrganizationId": self.principal}
        return said | {"Principal": "*" if self.principal == "public" else self.principal}


@dataclass(frozen=True)
class Desired:
    """One artifact as it shall be in every region.

    Attributes:
        identifier: The target, ``chromadb-vector-python3.13-arm64``.
        layer: Name of the layer in layers.yaml.
        runtime: Such as ``python3.13``.
        architecture: ``arm64`` or ``x86_64``.
        version: Semantic version.
        name: The layer's name in AWS.
        zip_path: The zip.
        sha256: Its SHA-256 in base64, as Lambda's CodeSha256.
        size: Its bytes.
        unzipped: Bytes of the files in it.
        description: Description of the layer version, with the label in it.
        license: LicenseInfo; empty for none.
        grants: Who may use it.
        align: Whether the integer version shall be the same in all regions.
        regions: Where to publish; the first is the pilot.
        counted: Regions that are not published to, but whose numbers count (``align``).
        modules: Modules that the canary imports.
        smoke: Test file that the canary runs, if any.
        beside: Layers that the canary lays below it: names in AWS, or ARNs of versions.
        reference: Whether Lambda reads the zip from the artifact bucket instead of copying it.
        signing: Profile of AWS Signer that signs it; None leaves it unsigned.
        managed: Managed layers, by name or ARN, that bring what was left out of it.
    """

    identifier: str
    layer: str
    runtime: str
    architecture: str
    version: str
    name: str
    zip_path: Path
    sha256: str
    size: int
    description: str
    license: str
    grants: frozenset[Grant]
    align: bool
    regions: tuple[str, ...]
    modules: tuple[str, ...] = ()
    smoke: Path | None = None
    beside: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()
    reference: bool = False
    unzipped: int = 0
    managed: tuple[str, ...] = ()
    signing: str | None = None

    @property
    def built_digest(self) -> str:
        """SHA-256 in hex of the zip as it was built, before anybody signed it."""
        return base64.b64decode(self.sha256).hex()

    @property
    def place(self) -> tuple[str, str, str]:
        """Layer, runtime and architecture: what its pointers are found by."""
        return (self.layer, self.runtime, self.architecture)

    @property
    def artifact_key(self) -> str:
        """Key of the zip in the artifact bucket of the pilot region."""
        return f"artifacts/{self.layer}/{self.version}/{self.zip_path.name}"

    @property
    def reference_key(self) -> str:
        """Key of the zip that Lambda reads, in every region's bucket; it changes with the bytes."""
        return f"layers/{self.name}/{self.built_digest}.zip"


@dataclass(frozen=True)
class Version:
    """One layer version as an account holds it; None where it has not been asked for."""

    number: int
    arn: str
    description: str
    semver: str | None
    placeholder: bool
    runtimes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    license: str = ""
    sha256: str | None = None
    size: int | None = None
    grants: frozenset[Grant] | None = None
    foreign_statements: tuple[str, ...] = ()
    created: str = ""


@dataclass(frozen=True)
class Pointers:
    """The SSM parameters of a target in one region.

    Attributes:
        latest: ARN under ``latest``.
        versions: Semver -> ARN.
        yanked: Semver -> reason.
        foreign: Names of parameters that layersmith did not write; nothing follows from them.
    """

    latest: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    yanked: dict[str, str] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()

    @property
    def latest_semver(self) -> str | None:
        """Semver whose ARN is ``latest``."""
        return next((v for v, arn in self.versions.items() if arn == self.latest), None)

    @property
    def latest_named(self) -> str:
        """What ``latest`` names, for people: a semver, a value that is none of ours, or nothing."""
        return self.latest_semver or self.latest or "nothing"


@dataclass(frozen=True)
class Held:
    """What one region holds of one target."""

    versions: tuple[Version, ...] = ()
    pointers: Pointers = Pointers()

    @property
    def top(self) -> int:
        """Highest integer version that is visible; 0 where there is none."""
        return max((version.number for version in self.versions), default=0)

    def release(self, semver: str, sha256: str) -> Version | None:
        """Return the lowest version that has this semver and these bytes."""
        same = [v for v in self.versions if v.semver == semver and v.sha256 == sha256]
        return min(same, key=lambda version: version.number, default=None)


@dataclass(frozen=True)
class KeptFile:
    """A file of a release in an artifact bucket: its key, its bytes, and when it was put there."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class RegionState:
    """What one region holds.

    Attributes:
        region: Its name.
        held: Identifier of the target -> what is there.
        bucket: Whether the artifact bucket is there.
        kept: Keys of the released zips in it.
    """

    region: str
    held: dict[str, Held]
    bucket: bool = True
    kept: frozenset[str] = frozenset()


class Step(StrEnum):
    """What can be done to one target in one region, in the order in which it is done."""

    BUCKET = "make bucket"
    KEEP = "keep zip"
    FILL = "fill"
    PUBLISH = "publish"
    UNFILL = "remove placeholder"
    GRANT = "grant"
    REVOKE = "revoke"
    CANARY = "canary"
    PROMOTE = "promote"
    POINT = "point"


@dataclass(frozen=True)
class Action:
    """One step of a plan.

    Attributes:
        step: What is done.
        region: Where.
        target: Identifier of the target.
        number: Integer version it concerns; 0 where AWS decides.
        last: The last of a range of numbers; 0 where it concerns one.
        detail: For people: what, and why.
        grant: The permission to add or remove.
        semver: The version that a pointer names.
    """

    step: Step
    region: str
    target: str
    number: int = 0
    detail: str = ""
    grant: Grant | None = None
    semver: str = ""
    last: int = 0

    @property
    def numbers(self) -> range:
        """The integer versions it concerns."""
        return range(self.number, max(self.number, self.last) + 1)

    def to_json(self) -> dict[str, Any]:
        """Return the action as plain data, without what is empty."""
        plain = dataclasses.asdict(self)
        if self.grant:
            plain["grant"] = self.grant.principal
        return {key: value for key, value in plain.items() if value}


@dataclass(frozen=True)
class RegionFinding:
    """Something that is not as it should be.

    Attributes:
        region: Where.
        target: Identifier of the target.
        field: What differs: ``sha256``, ``number``, ``license``, ...
        expected: What it should be.
        found: What it is.
        hint: What to do.
        blocking: Whether publishing the target here must not go on.
    """

    region: str
    target: str
    field: str
    expected: str
    found: str
    hint: str = ""
    blocking: bool = False


@dataclass(frozen=True)
class Quarantined:
    """A region that failed and was left out."""

    region: str
    reason: str
    hint: str = ""

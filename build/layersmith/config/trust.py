"""What layers.yaml may say about trust: licences, advisories, attestations and signing."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from layersmith.config.values import (
    AdvisoryId,
    Age,
    Date,
    DescribedChoice,
    LicenseName,
    Model,
    Reason,
    RelativePath,
)

PROFILE_PATTERN = r"^[a-zA-Z0-9_]{2,64}$"
"""Of AWS Signer's API, PutSigningProfile, profileName."""

REPOSITORY_PATTERN = r"^[\w-][\w.-]*/[\w.-]+$"
WORKFLOW_PATTERN = r"^([\w-][\w.-]*/[\w.-]+/)?\.github/workflows/[^/@]+\.ya?ml$"


class Licenses(Model):
    """Which licences may be in a zip; see docs/trust.md.

    An entry is one SPDX identifier, also with an exception (`GPL-3.0-or-later WITH
    GCC-exception-3.1`), or a pattern (`GPL-*`). Of an expression with OR one side is enough, with
    AND each counts; `deny` wins. Under `allow`, a distribution whose licence is not certain is an
    error. Exceptions stand under `accept`, each with its reason.
    """

    allow: Annotated[list[LicenseName], Field(examples=[["MIT", "BSD-*", "Apache-2.0"]])] = []
    """All that distributions may be licensed under; empty allows all."""
    deny: Annotated[list[LicenseName], Field(examples=[["AGPL-*", "GPL-*"]])] = []
    """What nothing may be licensed under, parts that the SBOM inside a wheel names included."""


class AdvisorySeverity(DescribedChoice):
    """From which severity on an advisory is exit code 6."""

    LOW = "low", "Every advisory."
    MEDIUM = "medium", "A CVSS score of 4.0 and more."
    HIGH = "high", "A CVSS score of 7.0 and more."
    CRITICAL = "critical", "A CVSS score of 9.0 and more."


class NotLoaded(DescribedChoice):
    """What an advisory means of which no proof ever loaded a file."""

    FAIL = "fail", "The same as any other."
    WARN = "warn", "It is reported, and does not change the exit code."


class IgnoredAdvisory(Model):
    """An advisory that is known and accepted for a time."""

    id: Annotated[AdvisoryId, Field(examples=["CVE-2026-12345"])]
    """Its identifier, or one of its aliases."""
    reason: Annotated[Reason, Field(examples=["only its command line is affected"])]
    """Why it is accepted."""
    until: Annotated[Date | None, Field(examples=["2027-01-31"])] = None
    """The last day on which it is."""
    until_fixed: bool = False
    """Accept it as long as there is no version that fixes it."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if (self.until is None) is not self.until_fixed:
            raise ValueError("an ignored advisory needs either `until` or `until-fixed: true`")
        return self


class AdvisoryPolicy(Model):
    """Which advisories are exit code 6 of `advisories`, and how old the data may be."""

    severity: AdvisorySeverity = AdvisorySeverity.HIGH
    """From which severity on an advisory counts, by its CVSS score or, without one, by what its
    database says. One of unknown severity always counts."""
    ignore: Annotated[
        list[IgnoredAdvisory],
        Field(
            examples=[
                [{"id": "CVE-2026-12345", "reason": "only on Windows", "until": "2027-01-31"}],
                [{"id": "GHSA-aaaa-bbbb-cccc", "reason": "not called", "until-fixed": True}],
            ]
        ),
    ] = []
    """Advisories that are accepted, each with the reason and its end."""
    max_age: Annotated[Age, Field(examples=["7d", "36h"], validate_default=True)] = "7d"  # type: ignore[assignment]
    """How old the data may be. Older data is exit code 6, too."""
    not_loaded: NotLoaded = NotLoaded.FAIL
    """What an advisory means of which no proof ever loaded a file, as `slim` watched them."""


class Attestations(Model):
    """Who must have built what is published and deployed, by what their workflow signed."""

    repository: Annotated[str, Field(pattern=REPOSITORY_PATTERN, examples=["owner/name"])]
    """Repository on GitHub that the workflow ran for."""
    workflow: Annotated[
        str, Field(pattern=WORKFLOW_PATTERN, examples=[".github/workflows/release.yml"])
    ]
    """Workflow that signed: a file of that repository, or of another as
    `owner/name/.github/workflows/file.yml`, for a reusable workflow."""
    refs: Annotated[list[str], Field(min_length=1, examples=[["refs/heads/main"]])] = [
        "refs/tags/{layer}-v{version}"
    ]
    """Branches and tags that it may have run for, as globs, with the layer's name and version in
    braces."""
    require: bool = True
    """Refuse what has no attestation. Without it, only what is attested wrongly is refused."""
    trusted_root: Annotated[RelativePath | None, Field(examples=["trusted_root.json"])] = None
    """Roots of another Sigstore than the public one, as its clients read them."""

    @property
    def signer(self) -> str:
        """The workflow with its repository."""
        if self.workflow.startswith(".github/"):
            return f"{self.repository}/{self.workflow}"
        return self.workflow


class Signing(Model):
    """AWS Signer, which signs what is published."""

    profile: Annotated[str, Field(pattern=PROFILE_PATTERN, examples=["layersmith"])]
    """Name of a signing profile of the platform AWSLambda-SHA384-ECDSA, which exists in every
    region that is published to."""

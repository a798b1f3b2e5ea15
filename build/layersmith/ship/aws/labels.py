"""Names and descriptions in AWS: what a program must be able to read back from an account.

ListLayerVersions returns no digest, so that the semver stands in the description, in a form that
can be parsed; the digest in it only tells people apart what GetLayerVersion proves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from layersmith.base import versions
from layersmith.errors import ConfigError

DESCRIPTION_LIMIT = 256
"""Characters of a layer version's description (AWS Lambda API, PublishLayerVersion)."""

NAME_LIMIT = 140
"""Characters of a layer's name (AWS Lambda API, PublishLayerVersion)."""

PLACEHOLDER = "[layersmith placeholder]"
"""Description of a version that only uses up a number."""

_LAYER_VERSION = re.compile(r"arn:[a-z-]+:lambda:[a-z0-9-]+:\d{12}:layer:[\w-]+:\d+")
_LABEL = re.compile(r"\[layersmith (?P<semver>[0-9A-Za-z.-]+) sha256:(?P<digest>[0-9a-f]{12})\]$")


@dataclass(frozen=True)
class Label:
    """What a description says about the version.

    Attributes:
        semver: Semantic version, ``1.2.0``.
        digest: First 12 hex digits of the zip's SHA-256.
    """

    semver: str
    digest: str


def layer_name(layer: str, runtime: str, architecture: str) -> str:
    """Return the name of a target's layer in AWS: ``chromadb-vector-python3-13-arm64``.

    Layer names hold letters, digits, hyphens and underscores alone.

    Raises:
        ConfigError: The name would pass AWS's limit.
    """
    name = f"{layer}-{runtime.replace('.', '-')}-{architecture}"
    if len(name) > NAME_LIMIT:
        raise ConfigError(f"{name!r} is longer than the {NAME_LIMIT} characters of a layer's name")
    return name


def describe(text: str, version: str, sha256: str) -> str:
    """Return the description of a layer version, the text cut so that the label fits.

    Args:
        text: What the layer is for.
        version: Its semantic version.
        sha256: SHA-256 of the zip in hex.
    """
    label = f"[layersmith {version} sha256:{sha256[:12]}]"
    room = DESCRIPTION_LIMIT - len(label) - 1
    kept = " ".join(text.split())
    if len(kept) > room:
        kept = kept[: room - 1].rstrip() + "…"
    return f"{kept} {label}"


def parse(description: str) -> Label | None:
    """Return the label of a description; None where layersmith did not write it."""
    found = _LABEL.search(description)
    if not found or not versions.is_valid(found["semver"]):
        return None
    return Label(found["semver"], found["digest"])


def is_layer_version(arn: str) -> bool:
    """Whether a text is the ARN of a layer version."""
    return _LAYER_VERSION.fullmatch(arn) is not None


def parameter(layer: str, runtime: str, architecture: str, name: str) -> str:
    """Return the name of a pointer, ``/layers/chromadb-vector/python3.13/arm64/latest``."""
    return f"/layers/{layer}/{runtime}/{architecture}/{name}"

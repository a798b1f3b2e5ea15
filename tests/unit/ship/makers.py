"""Short ways to write down what is wanted and what is held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from layersmith.ship.aws import labels
from layersmith.ship.publish.models import Desired, Grant, Held, Pointers, RegionState, Version

DIGEST = "ab" * 32
SHA = "q" * 43 + "="
PUBLIC = frozenset({Grant("public")})


def arn(number: int) -> str:
    return f"arn:aws:lambda:eu-west-1:123456789012:layer:alpha:{number}"


def want(**changes: Any) -> Desired:
    said: dict[str, Any] = {
        "identifier": "alpha-python3.13-arm64",
        "layer": "alpha",
        "runtime": "python3.13",
        "architecture": "arm64",
        "version": "1.2.0",
        "name": "alpha-python3-13-arm64",
        "zip_path": Path("dist/alpha-1.2.0-python3.13-arm64.zip"),
        "sha256": SHA,
        "size": 1000,
        "license": "MIT",
        "grants": PUBLIC,
        "align": False,
        "regions": ("eu-west-1", "us-east-1"),
    } | changes
    said.setdefault("description", labels.describe("Alpha", said["version"], DIGEST))
    return Desired(**said)


def release(number: int, semver: str = "1.2.0", **changes: Any) -> Version:
    said: dict[str, Any] = {
        "number": number,
        "arn": arn(number),
        "description": labels.describe("Alpha", semver, DIGEST),
        "semver": semver,
        "placeholder": False,
        "runtimes": ("python3.13",),
        "architectures": ("arm64",),
        "license": "MIT",
        "sha256": SHA,
        "size": 1000,
        "grants": PUBLIC,
        "created": "2026-01-01T00:00:00.000+0000",
    }
    return Version(**(said | changes))


def placeholder(number: int) -> Version:
    return Version(number, arn(number), labels.PLACEHOLDER, None, True)


def foreign(number: int) -> Version:
    return Version(number, arn(number), "by hand", None, False)


def pointers(latest: str | None = None, **numbers: int) -> Pointers:
    """Return pointers; ``v1_2_0=3`` is the pointer of 1.2.0 to version 3."""
    versions = {name[1:].replace("_", "."): arn(number) for name, number in numbers.items()}
    return Pointers(versions.get(latest or ""), versions)


def state(region: str, *versions: Version, at: Pointers | None = None, **more: Any) -> RegionState:
    key = "artifacts/alpha/1.2.0/alpha-1.2.0-python3.13-arm64.zip"
    held = {"alpha-python3.13-arm64": Held(tuple(versions), at or Pointers())}
    return RegionState(region, held, **({"kept": frozenset({key})} | more))

"""The one order of layer versions (Semantic Versioning 2.0.0), oldest first."""

from __future__ import annotations

import semver

from layersmith.errors import ConfigError


def order(version: str) -> semver.Version:
    """Return a key by which versions sort: 1.0.0-alpha.1 before 1.0.0 (semver, item 11).

    Raises:
        ConfigError: It is not a semantic version.
    """
    try:
        return semver.Version.parse(version)
    except ValueError:
        raise ConfigError(
            f"{version!r} is not a semantic version", hint="write it as in 1.2.0 or 1.2.0-rc.1"
        ) from None


def is_valid(version: str) -> bool:
    """Whether a text is a semantic version."""
    return semver.Version.is_valid(version)


def is_prerelease(version: str) -> bool:
    """Whether a version is a pre-release, as 1.1.0-rc.1 is (semver, item 9).

    Raises:
        ConfigError: It is not a semantic version.
    """
    return order(version).prerelease is not None

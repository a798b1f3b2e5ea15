"""Semantic Versioning 2.0.0, item 11, and the places that ask which release is newer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith.assemble import manifest as manifests
from layersmith.base import runtimes, versions
from layersmith.config.models import Layer
from layersmith.errors import ConfigError
from layersmith.pipeline import Build
from layersmith.plan import Target
from layersmith.report import found, records

from tests.unit.report import made

if TYPE_CHECKING:
    from pathlib import Path

ASCENDING = [
    *("0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2"),
    *("1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"),
]


def test_the_order_of_the_standard() -> None:
    backwards = ASCENDING[::-1]
    assert sorted(backwards, key=versions.order) == ASCENDING


def test_what_is_no_version_is_said_so() -> None:
    with pytest.raises(ConfigError, match=r"'1\.0' is not a semantic version"):
        versions.order("1.0")
    assert not versions.is_valid("1.0")
    assert versions.is_valid("1.0.0-alpha.1")


@pytest.fixture(params=[("1.0.0-alpha.1", "1.0.0"), ("1.0.0", "1.0.1-rc.1"), ("1.9.0", "1.10.0")])
def release(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Put two releases of one target into a folder and return the newer."""
    older, newer = request.param
    for version in (older, newer):
        manifest = made.manifest(version=version)
        manifests.write(manifest, tmp_path / manifest.artifact.filename.replace(".zip", ".json"))
    return str(newer)


def test_diff_takes_the_newer(release: str, tmp_path: Path) -> None:
    (newest,) = found.manifests_of(tmp_path.glob("*.json")).values()
    assert newest.manifest.version == release


def test_the_report_shows_the_newer(release: str, tmp_path: Path) -> None:
    (artifact,) = records.gather(tmp_path)
    assert artifact.manifest.version == release
    assert [one.version for one in artifact.history][-1] == release


def test_the_growth_budget_compares_with_the_newer(release: str, tmp_path: Path) -> None:
    layer = Layer(description="d", version="2.0.0", runtimes=["python3.13"], requirements=["plain"])
    target = Target("demo", runtimes.get("python3.13"), "arm64", layer)
    last = Build(root=tmp_path, dist=tmp_path, baseline=tmp_path)._last_release(target)
    assert last is not None
    assert last.version == release

"""The issue about published layers that have known vulnerabilities."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from layersmith import cli

from tests.support import advisories
from tests.support.advisories import advisory
from tests.unit.report import made

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.ship.hub import Hub


def entry(version: str, region: str, **more: Any) -> dict[str, Any]:
    arn = f"arn:aws:lambda:{region}:123456789012:layer:demo:1"
    place = {"layer": "demo", "runtime": "python3.13", "architecture": "arm64", "region": region}
    return {**place, "version": version, "arn": arn, **more}


def release(hub: Hub, version: str, alpha: str) -> None:
    """Release a version of demo that holds a version of alpha, with a library in it."""
    stem = f"demo-{version}-python3.13-arm64"
    held = made.manifest(
        {"alpha": {"python/alpha.py": 1}}, layer="demo", version=version, versions={"alpha": alpha}
    )
    inside = {"type": "library", "name": "libwebp", "version": "1.3.1"}
    bill = {"components": [{"name": "alpha", "components": [inside]}]}
    files = {
        f"{stem}.json": held.model_dump_json().encode(),
        f"{stem}.cdx.json": json.dumps(bill).encode(),
        f"{stem}.zip": b"large",
    }
    hub.release(f"demo-v{version}", files)


@pytest.fixture
def project(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three published versions, of which one is yanked, and one is in no release."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layers.yaml").write_text(
        "layers: {demo: {description: d, version: 1.1.0, runtimes: [python3.13],"
        " requirements: [alpha]}}"
    )
    release(hub, "1.0.0", "1.0")
    release(hub, "1.1.0", "2.0")
    entries = [
        entry("0.9.0", "eu-west-1", yanked="broken"),
        entry("0.9.1", "eu-west-1"),
        entry("1.0.0", "eu-west-1"),
        entry("1.0.0", "us-east-1"),
        entry("1.1.0", "us-east-1", latest=True),
    ]
    (tmp_path / "index/aws").mkdir(parents=True)
    index = json.dumps({"format": 1, "layers": entries})
    (tmp_path / "index/aws/layers-index.json").write_text(index)
    return tmp_path


def run(*words: str) -> int:
    return cli.main(["advisories", "--published", "index", "--github-issue", *words])


def test_an_issue_names_versions_regions_and_the_bump_and_is_closed_after(
    project: Path, hub: Hub
) -> None:
    advisories.database(project / "db", advisory("alpha", aliases=["CVE-2026-1"]))
    assert run("--source", "db", "--summary", "advisories.md") == 6
    [issue] = hub.issues
    assert issue["title"] == "Published layers have known vulnerabilities"
    body = issue["body"]
    assert body == (project / "advisories.md").read_text()
    assert "### [CVE-2026-1](https://advisories.example/PYSEC-2026-1): alpha 1.0" in body
    assert "| demo | 1.0.0 | python3.13 arm64 | eu-west-1, us-east-1 |" in body
    assert "raise alpha to 2.0 or newer (`lock --upgrade alpha`)" in body
    assert "- demo 1.1.0 is published and not affected: move functions to it" in body
    assert "Not looked up: demo 0.9.1 (python3.13, arm64)." in body
    assert "0.9.0" not in body
    assert not list((project / "dist").glob("*.zip"))

    advisories.database(project / "db", advisory("alpha", "PYSEC-2026-2", fixed="2.5"))
    assert run("--source", "db") == 6
    [issue] = hub.issues
    assert "| demo | 1.1.0 | python3.13 arm64 | us-east-1 |" in issue["body"]
    assert "then `layersmith release demo --bump patch` (1.1.0 to 1.1.1)" in issue["body"]

    for path in (project / "db/vulns/alpha").iterdir():
        path.unlink()
    assert run("--source", "db") == 0
    assert hub.issues[0]["state"] == "closed"
    assert "No advisory counts on a published version." in hub.issues[0]["body"]


def test_a_library_in_a_published_wheel_is_looked_up(project: Path, hub: Hub) -> None:
    webp = advisory("libwebp", "OSV-1", ecosystem="OSS-Fuzz", fixed="1.3.2")
    (project / "records").mkdir()
    (project / "records/OSV-1.json").write_text(json.dumps(webp))
    assert run("--source", "records") == 6
    assert "libwebp 1.3.1 in alpha, critical 9.8" in hub.issues[0]["body"]
    assert "take a version of alpha that bundles libwebp 1.3.2 or newer" in hub.issues[0]["body"]

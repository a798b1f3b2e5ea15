"""reproduce: a published layer is built again from its commit and compared."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from layersmith import cli as program

from tests.integration.ship import conftest as ship
from tests.support import cli, envelopes, repositories

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.ship.conftest import AwsServer
    from tests.integration.ship.hub import Hub

STEM = "demo-1.0.0-python3.13-arm64"

aws_process, aws, hub = ship.aws_process, ship.aws, ship.hub


@dataclass
class Release:
    """A repository, and what it published."""

    folder: Path
    dist: Path
    capsys: Any = None

    def run(self, *words: str | Path) -> tuple[int, dict[str, Any], str]:
        """Reproduce; return the exit code, the first result or error, and what was said."""
        self.capsys.readouterr()
        code = program.main(["reproduce", *map(str, words), "--json"])
        said = self.capsys.readouterr()
        found = json.loads(said.out)
        assert envelopes.validator("envelope").is_valid(found)
        first = [*(found["data"] or {}).get("layers", ())] or found["errors"]
        return code, first[0] | {"errors": found["errors"]}, said.err

    def copy(self, folder: Path) -> Path:
        """Copy the published zip and its manifest; return the zip."""
        folder.mkdir()
        for suffix in ("zip", "json"):
            shutil.copy(self.dist / f"{STEM}.{suffix}", folder)
        return folder / f"{STEM}.zip"


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    top = tmp_path_factory.mktemp("reproduce")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAYERSMITH_CACHE", str(top / "cache"))
        folder = repositories.make(top / "repository")
        assert cli.layers("build", "--quiet", cwd=folder).returncode == 0
        yield Release(folder, folder / "dist")


@pytest.fixture
def release(
    once: Release, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Release:
    monkeypatch.chdir(once.folder)
    once.capsys = capsys
    return once


def edit(manifest: Path, **source: Any) -> None:
    said = json.loads(manifest.read_text("utf-8"))
    said["source"] |= source
    manifest.write_text(json.dumps(said), "utf-8")


def test_a_zip_needs_no_credentials(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a clone, with a folder of caches that begins empty, and without any key of AWS."""
    for name in [one for one in os.environ if one.startswith("AWS_")]:
        monkeypatch.delenv(name)
    published = release.copy(tmp_path / "published")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "result.json"
    code, found, said = release.run(
        *(published, "--repository", release.folder.parent),
        *("--cache", tmp_path / "cache", "--out", out),
    )
    assert code == 0, said
    assert "reproduced, same SHA-256" in said
    assert found["reproduced"]
    assert found["sha256"] == found["rebuilt"]
    assert found["commit"] == repositories.git(release.folder, "rev-parse", "HEAD")
    assert any((tmp_path / "cache").iterdir())
    assert json.loads(out.read_text("utf-8"))["layers"][0]["reproduced"]
    assert repositories.git(release.folder, "worktree", "list").count("\n") == 0


def test_the_first_member_that_differs_is_named(release: Release, tmp_path: Path) -> None:
    """A zip that its commit does not build, with a manifest that fits the zip."""
    published = release.copy(tmp_path / "published")
    with zipfile.ZipFile(published) as archive:
        members = {info: archive.read(info) for info in archive.infolist()}
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for info, content in members.items():
            changed = content.replace(b"1", b"7") if info.filename.endswith("demo.py") else content
            archive.writestr(info, changed)
    published.write_bytes(memory.getvalue())

    code, found, _ = release.run(published)
    assert code == 8
    assert "is not the file that its manifest describes" in found["message"]

    manifest = json.loads(published.with_suffix(".json").read_text("utf-8"))
    manifest["artifact"]["sha256"] = hashlib.sha256(memory.getvalue()).hexdigest()
    manifest["tools"]["deflate"] = "0.0.1"
    published.with_suffix(".json").write_text(json.dumps(manifest), "utf-8")
    code, found, _ = release.run(published)
    assert code == 8
    assert found["difference"]["member"] == "python/demo.py"
    assert found["difference"]["kind"] == "bytes"
    [error] = found["errors"]
    assert "python/demo.py: bytes differ from offset" in error["message"]
    assert "deflate" in error["cause"]


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        ({"commit": "0" * 40}, "which does not exist in", "git fetch origin 0000"),
        ({"commit": "--help"}, "is not a manifest", "build"),
        ({"changed": ["layers/demo.py"]}, "uncommitted changes: layers/demo.py", "commit them"),
        ({"config": "../layers.yaml"}, "has no file ../layers.yaml", "--repository"),
    ],
)
def test_what_a_manifest_says_wrongly(
    release: Release, tmp_path: Path, source: dict[str, Any], message: str, hint: str
) -> None:
    published = release.copy(tmp_path / "published")
    edit(published.with_suffix(".json"), **source)
    code, found, _ = release.run(published)
    assert code == (5 if "manifest" in message else 8)
    assert message in found["message"]
    assert hint in found["next"]


def test_a_clone_without_the_commit_or_its_lock(release: Release, tmp_path: Path) -> None:
    """Shallow, another lock, and no repository at all."""
    published = release.copy(tmp_path / "published")
    repository = tmp_path / "repository"
    shutil.copytree(release.folder.parent, repository)
    lock = repository / "layers" / "locks" / "demo-python3.13-arm64.txt"
    lock.write_text(lock.read_text("utf-8") + "# more\n", "utf-8")
    repositories.git(repository, "commit", "--quiet", "--all", "--message", "Another lock")
    shallow = tmp_path / "shallow"
    words = ("clone", "--quiet", "--depth", "1", f"file://{repository}", str(shallow))
    repositories.git(tmp_path, *words)

    code, found, _ = release.run(published, "--repository", shallow)
    assert (code, "shallow clone" in found["message"]) == (8, True)
    assert "git fetch --unshallow" in found["next"]

    edit(published.with_suffix(".json"), commit=repositories.git(repository, "rev-parse", "HEAD"))
    code, found, _ = release.run(published, "--repository", f"file://{repository}")
    assert (code, "has another lock" in found["message"]) == (8, True)

    code, found, _ = release.run(published, "--repository", published.parent)
    assert (code, "is not a git repository" in found["message"]) == (8, True)
    code, found, _ = release.run(published, "--repository", tmp_path / "none")
    assert (code, "git cannot clone" in found["message"]) == (8, True)


def test_a_release_on_github(
    release: Release, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its tag, and picked by a seed, which keeps what was fetched."""
    names = [f"{STEM}.zip", f"{STEM}.json"]
    assets = {name: (release.dist / name).read_bytes() for name in names}
    hub.release("demo-v1.0.0", assets)
    code, found, said = release.run("demo-v1.0.0", "--runtime", "python3.13")
    assert (code, found.get("reproduced")) == (0, True), said
    code, found, said = release.run("--pick", "2026-11-26", "--download", tmp_path / "kept")
    assert (code, found.get("reproduced")) == (0, True), said
    assert {path.name for path in (tmp_path / "kept").iterdir() if path.is_file()} == {*assets}

    code, found, _ = release.run("demo-v1.0.0", "--runtime", "python3.12")
    assert (code, found["message"]) == (2, "no zip of the release matches --runtime and --arch")
    code, found, _ = release.run("demo-v9.0.0")
    assert (code, "there is no release demo-v9.0.0" in found["message"]) == (9, True)


def test_a_layer_version(release: Release, aws: AwsServer, tmp_path: Path) -> None:
    """As Lambda gives it out, with the manifest that publish kept; AWS sees only reads."""
    options = ("--config", "layers.yaml", "--dist", "dist", "--no-canary", "--layer", "demo")
    assert program.main(["publish", "apply", "--yes", *options]) == 0
    [layer] = aws.client("lambda", "eu-west-1").list_layers()["Layers"]
    arn = layer["LatestMatchingVersion"]["LayerVersionArn"]
    code, found, said = release.run(arn)
    assert (code, found.get("reproduced")) == (0, True), said

    stranger = aws.client("lambda", "eu-west-1").publish_layer_version(
        LayerName="stranger", Content={"ZipFile": (release.dist / f"{STEM}.zip").read_bytes()}
    )
    code, found, _ = release.run(stranger["LayerVersionArn"])
    assert (code, "was not published by layersmith" in found["message"]) == (9, True)
    code, found, said = release.run(
        stranger["LayerVersionArn"], "--manifest", release.dist / f"{STEM}.json"
    )
    assert (code, found.get("reproduced")) == (0, True), said

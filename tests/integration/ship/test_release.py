"""release against a real git repository."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from layersmith.assemble import manifest as manifests
from layersmith.config import loader
from layersmith.plan import plan

from tests.integration.ship import releases
from tests.integration.ship.releases import LayerSpec, distribution

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.ship.conftest import Project, Result


def git(root: Path, *words: str) -> str:
    identity = ["-c", "user.name=Tests", "-c", "user.email=tests@example.org"]
    done = subprocess.run(
        ["git", *identity, *words], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(project: Project) -> Project:
    """A repository with a layer at 1.1.0, and its last release in last/."""
    git(project.root, "init", "--quiet", "--initial-branch", "main")
    git(project.root, "config", "user.name", "Tests")
    git(project.root, "config", "user.email", "tests@example.org")
    project.write(LayerSpec(version="1.1.0"))
    (project.root / ".gitignore").write_text("dist/\nlast/\n", encoding="utf-8")
    git(project.root, "add", ".gitignore", "layers.yaml")
    git(project.root, "commit", "--quiet", "--message", "Start")
    build(project, "last", numpy="2.3.5")
    return project


def build(project: Project, folder: str, source: str = "VALUE = 1\n", **packages: str) -> None:
    """Write the manifest of a build with these distributions."""
    (project.root / folder).mkdir(exist_ok=True)
    for old in (project.root / folder).glob("*.json"):
        old.unlink()
    spec = LayerSpec(version="1.1.0", source=source)
    for target in plan(loader.load(project.root / "layers.yaml").config):
        content = releases.layer_zip(target, spec)
        listed = [distribution(name, version) for name, version in packages.items()]
        made = releases.manifest(target, spec, content, listed)
        manifests.write(made, project.root / folder / f"{target.stem}.json")


def release(project: Project, *options: str) -> Result:
    baseline = ["--baseline", str(project.root / "last")]
    return project.run("release", "alpha", "--json", *project.places, *baseline, *options)


@pytest.mark.parametrize(
    ("packages", "source", "need"),
    [
        ({"numpy": "2.3.5"}, "VALUE = 2\n", "patch"),
        ({"numpy": "2.4.0"}, "VALUE = 2\n", "patch"),
        ({"numpy": "2.3.5", "pillow": "12.0.0"}, "VALUE = 2\n", "minor"),
        ({"numpy": "3.0.0"}, "VALUE = 2\n", "major"),
        ({"pillow": "12.0.0"}, "VALUE = 2\n", "major"),
    ],
)
def test_the_bump_must_fit_what_changed(
    packages: dict[str, str], source: str, need: str, repository: Project
) -> None:
    build(repository, "dist", source, **packages)
    order = ["patch", "minor", "major"]
    for bump in order:
        result = release(repository, "--bump", bump, "--dry-run")
        fits = order.index(bump) >= order.index(need)
        assert result.code == (0 if fits else 9), result.err
        if not fits:
            assert f"--bump {need}" in result.err
    chosen = release(repository, "--dry-run").json["version"]
    assert chosen == {"patch": "1.1.1", "minor": "1.2.0", "major": "2.0.0"}[need]
    assert git(repository.root, "tag") == ""


def test_a_release_is_one_commit_and_one_tag(repository: Project) -> None:
    root = repository.root
    build(repository, "dist", numpy="2.3.5", pillow="12.0.0")
    (root / "unrelated").write_text("staged", encoding="utf-8")
    git(root, "add", "unrelated")

    result = release(repository, "--bump", "minor")

    assert result.code == 0, result.err
    assert git(root, "rev-parse", "alpha-v1.2.0^{commit}") == git(root, "rev-parse", "main")
    assert git(root, "cat-file", "-t", "alpha-v1.2.0") == "tag"
    changed = git(root, "show", "--name-only", "--format=", "HEAD").splitlines()
    assert sorted(changed) == ["CHANGELOG.md", "layers.yaml"]
    assert "version: 1.2.0" in git(root, "show", "HEAD:layers.yaml")
    assert "- pillow 12.0.0 added" in git(root, "show", "HEAD:CHANGELOG.md")
    assert git(root, "status", "--porcelain") == "A  unrelated"
    git(root, "fsck", "--strict")


def test_a_release_by_force_says_why(repository: Project) -> None:
    build(repository, "dist", pillow="12.0.0")

    result = release(repository, "--bump", "patch", "--force", "nobody imported it")

    assert result.json["version"] == "1.1.1"
    changelog = (repository.root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "nobody imported it" in changelog


def test_nothing_changed_is_no_release(repository: Project) -> None:
    build(repository, "dist", numpy="2.3.5")

    assert "nothing changed" in release(repository, "--bump", "patch").err


def test_the_first_release_keeps_the_version(repository: Project) -> None:
    build(repository, "dist", numpy="2.3.5")

    result = repository.run("release", "alpha", "--json", *repository.places)

    assert result.json["tag"] == "alpha-v1.1.0"
    assert repository.run("release", "alpha", *repository.places).code == 9


def test_edited_files_are_not_released(repository: Project) -> None:
    build(repository, "dist", pillow="12.0.0", numpy="2.3.5")
    with (repository.root / "layers.yaml").open("a", encoding="utf-8") as stream:
        stream.write("# edited\n")

    result = release(repository, "--bump", "minor")

    assert result.code == 9
    assert "not as in the last commit: layers.yaml" in result.err
    assert git(repository.root, "tag") == ""


def test_sections_pile_up_newest_first(repository: Project) -> None:
    build(repository, "dist", numpy="2.3.5", pillow="12.0.0")
    assert release(repository).code == 0
    build(repository, "last", numpy="2.3.5", pillow="12.0.0")
    build(repository, "dist", numpy="2.3.5")

    assert release(repository).code == 0

    text = (repository.root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert [line.split("]")[0] for line in text.splitlines() if line.startswith("## ")] == [
        "## [alpha-v2.0.0",
        "## [alpha-v1.2.0",
    ]


def with_inputs(project: Project) -> Path:
    """Give the layer an input of every kind, all committed, and something to release."""
    root = project.root
    for name, text in {
        "pkg/pyproject.toml": "[project]\nname = 'pkg'\nversion = '1'\n",
        "pkg/src/pkg/__init__.py": "",
        "stub/pyproject.toml": "",
        "smoke.py": "",
        "requirements.txt": "-r more.txt\n",
        "more.txt": "alpha==1.0\n",
        "locks/alpha-python3.13-arm64.txt": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    document = yaml.safe_load((root / "layers.yaml").read_text("utf-8"))
    document["layers"]["alpha"] |= {
        "requirements": {"file": "requirements.txt"},
        "packages": ["pkg"],
        "stubs": {"gamma": {"path": "stub", "reason": "unused"}},
        "smoke": "smoke.py",
    }
    (root / "layers.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "Inputs")
    build(project, "dist", numpy="2.3.5", pillow="12.0.0")
    return root


@pytest.mark.parametrize(
    "name",
    [
        "pkg/src/pkg/__init__.py",
        "pkg/src/pkg/new file.py",
        "stub/new.py",
        "smoke.py",
        "more.txt",
        "locks/alpha-python3.13-arm64.txt",
    ],
)
def test_an_input_that_is_not_committed_is_not_released(repository: Project, name: str) -> None:
    root = with_inputs(repository)
    (root / name).write_text("# other\n", encoding="utf-8")

    result = release(repository)

    assert result.code == 9
    assert f"not as in the last commit: {name}" in " ".join(result.err.split())
    assert git(root, "tag") == ""


def test_an_ignored_lock_is_no_committed_lock(repository: Project) -> None:
    root = with_inputs(repository)
    (root / ".gitignore").write_text("dist/\nlast/\nlocks/\n__pycache__/\n", encoding="utf-8")
    git(root, "rm", "--quiet", "--cached", "-r", "locks")
    git(root, "add", ".gitignore")
    git(root, "commit", "--quiet", "--message", "Ignore the locks")
    (root / "pkg" / "__pycache__").mkdir()
    (root / "pkg" / "__pycache__" / "a.pyc").write_bytes(b"")

    result = release(repository)

    assert result.code == 9
    assert "last commit: locks/" in result.err
    assert "__pycache__" not in result.err


def test_without_an_identity_nothing_is_edited(
    repository: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = with_inputs(repository)
    git(root, "config", "user.useConfigOnly", "true")
    git(root, "config", "--unset", "user.email")
    git(root, "config", "--unset", "user.name")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")

    result = release(repository)

    assert result.code == 9
    assert "git has no identity" in result.err
    assert git(root, "status", "--porcelain") == ""


def test_commit_and_tag_are_signed_where_git_is_set_to(repository: Project) -> None:
    root = with_inputs(repository)
    key = root / "dist" / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    settings = {"gpg.format": "ssh", "user.signingkey": str(key)}
    for name, value in {**settings, "commit.gpgsign": "true", "tag.gpgsign": "true"}.items():
        git(root, "config", name, value)

    result = release(repository)

    assert result.code == 0, result.err
    for kind, name in (("commit", "HEAD"), ("tag", "alpha-v1.2.0")):
        assert "BEGIN SSH SIGNATURE" in git(root, "cat-file", kind, name)
    assert git(root, "rev-parse", "alpha-v1.2.0^{commit}") == git(root, "rev-parse", "main")
    assert "12.0.0 added" in git(root, "tag", "--list", "--format=%(contents)", "alpha-v1.2.0")
    assert git(root, "status", "--porcelain") == ""
    key.unlink()
    build(repository, "last", numpy="2.3.5", pillow="12.0.0")
    build(repository, "dist", numpy="2.3.6", pillow="12.0.0")
    assert release(repository).code == 9
    assert git(root, "status", "--porcelain") == ""


def test_line_ends_stay_as_they_are(repository: Project) -> None:
    root = with_inputs(repository)
    log = b"# Changelog\r\n\r\n## [alpha-v1.1.0] - 2026-01-01\r\n\r\n- First release.\r\n"
    (root / "CHANGELOG.md").write_bytes(log)
    config = root / "layers.yaml"
    config.write_bytes(config.read_bytes().replace(b"\n", b"\r\n"))
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "Line ends")

    assert release(repository).code == 0

    for path in (root / "CHANGELOG.md", config):
        content = path.read_bytes()
        assert content.count(b"\n") == content.count(b"\r\n") > 5
    assert git(root, "status", "--porcelain") == ""

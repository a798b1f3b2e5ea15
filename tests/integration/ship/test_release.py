"""release against a real git repository."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from layersmith.assemble import manifest as manifests
from layersmith.config import loader
from layersmith.plan import plan

from tests.integration.ship import releases
from tests.integration.ship.releases import LayerSpec, distribution
from tests.support.repositories import git

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.ship.conftest import Project, Result


CONFIG = """\
layers:
  alpha:
    description: Layer alpha of the tests
    version: 1.1.0
    runtimes: [python3.13]
    files: {python/alpha.py: src/alpha.py}
"""


@pytest.fixture
def repository(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """A repository with a layer at 1.1.0, and the manifest of a build with numpy in last/."""
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path_factory.mktemp("cache")))
    git(project.root, "init", "--quiet", "--initial-branch", "main")
    git(project.root, "config", "user.name", "Tests")
    git(project.root, "config", "user.email", "tests@example.org")
    (project.root / "src").mkdir()
    for name, text in {
        "layers.yaml": CONFIG,
        "src/alpha.py": "VALUE = 1\n",
        ".gitignore": "dist/\nlast/\n",
    }.items():
        (project.root / name).write_text(text, encoding="utf-8")
    assert project.run("lock", "--config", str(project.root / "layers.yaml")).code == 0
    git(project.root, "add", ".")
    git(project.root, "commit", "--quiet", "--message", "Start")
    build(project, "last", numpy="2.3.5")
    return project


def built(project: Project, *, last: bool = True) -> Project:
    """Build the layer for real, changed since a build whose manifest is in last/."""
    config = project.places[:2]
    if last:
        assert project.run("build", *config, "--dist", str(project.root / "last")).code == 0
    change(project)
    assert project.run("build", *project.places).code == 0
    return project


def change(project: Project) -> None:
    path = project.root / "src" / "alpha.py"
    path.write_text(path.read_text("utf-8") + "VALUE += 1\n", encoding="utf-8")
    git(project.root, "commit", "--quiet", "--all", "--message", "Change")


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


def test_a_dry_run_refuses_what_the_release_would_refuse(repository: Project) -> None:
    root = built(repository).root
    layers = root / "layers.yaml"
    committed = layers.read_text("utf-8")
    layers.write_text(committed + "# edited\n", encoding="utf-8")
    edited = release(repository, "--dry-run")
    layers.write_text(committed, encoding="utf-8")
    version = release(repository, "--dry-run").json["version"]
    git(root, "tag", f"alpha-v{version}")
    tagged = release(repository, "--dry-run")

    assert (edited.code, tagged.code) == (9, 9)
    assert edited.json["version"] == tagged.json["version"] == version
    assert "not as in the last commit: layers.yaml" in edited.err
    assert f"git push origin alpha-v{version}" in tagged.err
    assert "would release" not in edited.err + tagged.err


def test_a_release_is_one_commit_and_one_tag(repository: Project) -> None:
    root = built(repository).root
    (root / "unrelated").write_text("staged", encoding="utf-8")
    git(root, "add", "unrelated")

    result = release(repository, "--bump", "minor")

    assert result.code == 0, result.err
    assert git(root, "rev-parse", "alpha-v1.2.0^{commit}") == git(root, "rev-parse", "main")
    assert git(root, "cat-file", "-t", "alpha-v1.2.0") == "tag"
    changed = git(root, "show", "--name-only", "--format=", "HEAD").splitlines()
    assert sorted(changed) == ["CHANGELOG.md", "layers.yaml"]
    assert "version: 1.2.0" in git(root, "show", "HEAD:layers.yaml")
    assert "- files: 0+" in git(root, "show", "HEAD:CHANGELOG.md")
    assert git(root, "status", "--porcelain") == "A  unrelated"
    git(root, "fsck", "--strict")


def test_a_release_by_force_says_why(repository: Project) -> None:
    built(repository, last=False)

    result = release(repository, "--bump", "patch", "--force", "nobody imported it")

    assert result.json["version"] == "1.1.1"
    changelog = (repository.root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "nobody imported it" in changelog


def test_nothing_changed_is_no_release(repository: Project) -> None:
    build(repository, "dist", numpy="2.3.5")

    assert "nothing changed" in release(repository, "--bump", "patch").err


def test_the_first_release_keeps_the_version(repository: Project) -> None:
    built(repository)

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
    for _ in range(2):
        built(repository)
        assert release(repository).code == 0
        for old in (repository.root / "last").glob("*.json"):
            old.unlink()

    text = (repository.root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert [line.split("]")[0] for line in text.splitlines() if line.startswith("## ")] == [
        "## [alpha-v1.1.2",
        "## [alpha-v1.1.1",
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


@pytest.mark.needs("ssh-keygen")
def test_commit_and_tag_are_signed_where_git_is_set_to(repository: Project) -> None:
    root = built(repository).root
    key = root / "dist" / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    settings = {"gpg.format": "ssh", "user.signingkey": str(key)}
    for name, value in {**settings, "commit.gpgsign": "true", "tag.gpgsign": "true"}.items():
        git(root, "config", name, value)

    result = release(repository)

    assert result.code == 0, result.err
    for kind, name in (("commit", "HEAD"), ("tag", "alpha-v1.1.1")):
        assert "BEGIN SSH SIGNATURE" in git(root, "cat-file", kind, name)
    assert git(root, "rev-parse", "alpha-v1.1.1^{commit}") == git(root, "rev-parse", "main")
    assert "files: 0+" in git(root, "tag", "--list", "--format=%(contents)", "alpha-v1.1.1")
    assert git(root, "status", "--porcelain") == ""
    (root / "last" / "alpha-1.1.0-python3.13-arm64.json").unlink()
    built(repository)
    key.unlink()
    assert "git commit-tree failed" in release(repository).err
    assert git(root, "status", "--porcelain") == ""


def test_line_ends_stay_as_they_are(repository: Project) -> None:
    root = built(repository).root
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


def test_the_commit_must_build_what_is_in_dist(repository: Project) -> None:
    root = built(repository).root
    change(repository)

    result = release(repository)

    assert result.code == 9
    assert "the commit builds other zips than those in dist/: alpha-python3.13-arm64" in (
        " ".join(result.err.split())
    )
    assert git(root, "tag") == ""
    assert git(root, "status", "--porcelain") == ""
    assert len(git(root, "worktree", "list").splitlines()) == 1


def with_package(repository: Project, pyproject: str, *, ignored: str = "") -> Path:
    """Give the layer a package, commit it all and build it."""
    root = repository.root
    document = yaml.safe_load((root / "layers.yaml").read_text("utf-8"))
    del document["layers"]["alpha"]["files"]
    document["layers"]["alpha"]["packages"] = ["pkg"]
    (root / "layers.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    for name, text in {
        "pkg/pyproject.toml": "[project]\nname = 'pkg'\ndynamic = ['version']\n" + pyproject,
        "pkg/pkg.py": "",
        ".gitignore": f"dist/\nlast/\n{ignored}\n",
        "pkg/backend.py": BACKEND,
    }.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    git(root, "add", ".")
    locked = repository.run("lock", *repository.places[:2])
    assert locked.code == 0, locked.err
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "A package")
    done = repository.run("build", *repository.places)
    assert done.code == 0, done.err
    return root


def test_a_commit_that_does_not_build_is_not_tagged(repository: Project) -> None:
    own = "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    root = with_package(repository, own, ignored="backend.py")

    result = repository.run("release", "alpha", *repository.places)

    assert result.code == 9
    assert "the commit to release does not build" in " ".join(result.err.split())
    assert git(root, "tag") == ""
    assert len(git(root, "worktree", "list").splitlines()) == 1


def test_a_version_that_follows_the_commit_is_named(repository: Project) -> None:
    root = with_package(repository, SETUPTOOLS_SCM)

    result = repository.run("release", "alpha", *repository.places)

    said = " ".join(result.err.split())
    assert result.code == 9
    assert re.search(r"pkg is 0\.1\.dev2\+\S+ in dist/ and 0\.1\.dev3\+\S+ in the commit", said)
    assert "under `environment`" in said
    assert git(root, "tag") == ""


SETUPTOOLS_SCM = """\
[build-system]
requires = ["setuptools", "setuptools-scm"]
build-backend = "setuptools.build_meta"
[tool.setuptools]
py-modules = ["pkg"]
[tool.setuptools_scm]
root = ".."
"""

BACKEND = """\
import zipfile

METADATA = "Metadata-Version: 2.1\\nName: pkg\\nVersion: 1\\n"
WHEEL = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"

def build_wheel(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(f"{folder}/pkg-1-py3-none-any.whl", "w") as wheel:
        wheel.write("pkg.py")
        wheel.writestr("pkg-1.dist-info/METADATA", METADATA)
        wheel.writestr("pkg-1.dist-info/WHEEL", WHEEL)
        wheel.writestr("pkg-1.dist-info/RECORD", "")
    return "pkg-1-py3-none-any.whl"
"""


@pytest.mark.parametrize("step", ["release", "compare"])
def test_a_build_without_its_bytecode_is_not_released(repository: Project, step: str) -> None:
    dist = built(repository).root / "dist"
    path = dist / "alpha-1.1.0-python3.13-arm64.json"
    document = json.loads(path.read_text("utf-8"))
    document["bytecode"] |= {"compiled": 0, "note": "no CPython 3.13 on this machine"}
    path.write_text(json.dumps(document), encoding="utf-8")

    result = (
        release(repository)
        if step == "release"
        else repository.run("release", "--compare", str(dist), str(dist))
    )

    assert result.code == 9
    assert "built without bytecode: alpha-python3.13-arm64" in result.err
    assert git(repository.root, "tag") == ""


def test_pre_releases_lead_to_a_release(
    repository: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags: list[str] = []
    for options in (["--pre", "rc"], ["--pre", "rc"], []):
        built(repository, last=not tags)
        result = release(repository, *options)
        assert result.code == 0, result.err
        tags.append(result.json["tag"])

    assert tags == ["alpha-v1.1.1-rc.1", "alpha-v1.1.1-rc.2", "alpha-v1.1.1"]
    done = repository.run("release", "--from-tag", tags[0], *repository.places[:2])
    assert "alpha-v1.1.1-rc.1 is not the tag of a layer" in done.err
    for tag, early in ((tags[1], "true"), (tags[2], "false")):
        git(repository.root, "switch", "--quiet", "--detach", tag)
        output = repository.root / "dist" / "output"
        output.unlink(missing_ok=True)
        monkeypatch.setenv("GITHUB_OUTPUT", str(output))
        assert repository.run("release", "--from-tag", tag, *repository.places[:2]).code == 0
        assert f"prerelease={early}" in output.read_text("utf-8").splitlines()


def test_a_pull_request_is_tagged_after_its_merge(repository: Project) -> None:
    root = built(repository).root
    before = git(root, "rev-parse", "main")

    offered = release(repository, "--pull-request")

    assert offered.code == 0, offered.err
    assert "gh pr create --fill --head release/alpha-v1.1.1" in " ".join(offered.err.split())
    assert git(root, "tag") == ""
    assert git(root, "rev-parse", "main") == before
    assert git(root, "status", "--porcelain") == ""
    assert git(root, "rev-parse", "release/alpha-v1.1.1^") == before
    assert "is there already" in release(repository, "--pull-request").err

    tagging = ("release", "alpha", "--merged", *repository.places)
    early = repository.run(*tagging)
    assert "the changelog has no section alpha-v1.1.0" in " ".join(early.err.split())

    git(root, "switch", "--quiet", "release/alpha-v1.1.1")
    assert repository.run("build", *repository.places).code == 0
    assert "not the one it was merged into" in " ".join(repository.run(*tagging).err.split())
    git(root, "switch", "--quiet", "main")
    git(root, "merge", "--quiet", "--squash", "release/alpha-v1.1.1")
    git(root, "commit", "--quiet", "--message", "Squashed")

    merged = repository.run(*tagging, "--json")

    assert merged.code == 0, merged.err
    assert merged.json == {
        "layer": "alpha",
        "tag": "alpha-v1.1.1",
        "commit": git(root, "rev-parse", "main"),
    }
    assert git(root, "rev-parse", "alpha-v1.1.1^{commit}") == git(root, "rev-parse", "main")
    assert "files: 0+" in git(root, "tag", "--list", "--format=%(contents)", "alpha-v1.1.1")

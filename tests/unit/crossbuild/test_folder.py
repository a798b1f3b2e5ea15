"""What a local package is built from."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from layersmith.crossbuild import folder
from layersmith.errors import BuildError


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return put(tmp_path / "pkg", "pyproject.toml", "src/mypkg/__init__.py")


def put(root: Path, *paths: str, text: str = "") -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def paths(package: Path) -> set[str]:
    return {file.path for file in folder.files(package)}


def copied(package: Path, to: Path) -> set[str]:
    made = folder.copy(package, to)
    return {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "path",
    [
        "src/mypkg/build/__init__.py",
        "src/mypkg/dist/__init__.py",
        "src/mypkg/.venv/readme",
        "src/mypkg/data.egg-info/PKG-INFO",
        "src/mypkg/legacy.pyc",
        "build/layers.py",
        "build/lib/mypkg/__init__.py",
        "tests/.git/config",
        ".gitignore",
    ],
)
def test_nothing_is_dropped_for_its_name(package: Path, tmp_path: Path, path: str) -> None:
    before = folder.digest(package)
    put(package, path)
    assert path in paths(package)
    assert path in copied(package, tmp_path / "copy")
    assert folder.digest(package) != before


@pytest.mark.parametrize(
    "written",
    [
        {"dist/mypkg-1.0.whl": ""},
        {".git/HEAD": "ref: refs/heads/main"},
        {".git": "gitdir: ../.git/modules/pkg"},
        {".venv/bin/python": ""},
        {"env/pyvenv.cfg": "home = /usr/bin", "env/lib/six.py": ""},
        {".nox/test/log": ""},
        {"out/demo-1.0.0-python3.13-arm64.zip": "", "out/demo-1.0.0-python3.13-arm64.cdx.json": ""},
        {".pytest_cache/v/cache/lastfailed": ""},
        {".cache/layersmith/CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55\n"},
        {"src/mypkg/__pycache__/a.pyc": ""},
        {"build/bdist.linux-x86_64/x": "", "build/lib/mypkg/gone.py": ""},
        {"src/mypkg.egg-info/SOURCES.txt": "pyproject.toml\nsrc/mypkg.egg-info/SOURCES.txt\n"},
        {"mypkg.egg-info/SOURCES.txt": "mypkg.egg-info/SOURCES.txt\n", "mypkg.egg-info/x": ""},
    ],
)
def test_what_tools_write_beside_the_sources_does_not_count(
    package: Path, tmp_path: Path, written: dict[str, str]
) -> None:
    before, digest = paths(package), folder.digest(package)
    for path, text in written.items():
        put(package, path, text=text)
    assert paths(package) == before == copied(package, tmp_path / "copy")
    assert folder.digest(package) == digest


def test_links_are_followed_by_the_digest_as_by_the_copy(package: Path, tmp_path: Path) -> None:
    shared = put(tmp_path / "shared", "deep/data.txt", text="one")
    (package / "src/mypkg/shared").symlink_to(shared)
    (package / "src/mypkg/one.txt").symlink_to(shared / "deep/data.txt")
    wanted = {"src/mypkg/shared/deep/data.txt", "src/mypkg/one.txt"}
    assert wanted <= paths(package)
    assert wanted <= copied(package, tmp_path / "copy")
    assert not (tmp_path / "copy/src/mypkg/shared").is_symlink()
    before = folder.digest(package)
    put(shared, "deep/data.txt", text="two")
    assert folder.digest(package) != before


def test_a_link_to_a_folder_above_itself_is_an_error(package: Path) -> None:
    (package / "src/mypkg/loop").symlink_to("..")
    with pytest.raises(BuildError, match=r"loop/mypkg is a link|loop is a link"):
        folder.files(package)


def test_a_link_to_nothing_is_an_error(package: Path) -> None:
    (package / "src/gone").symlink_to("missing/file")
    with pytest.raises(BuildError, match=r"src/gone is a link to missing/file, which does not"):
        folder.files(package)


def test_one_link_in_a_circle_of_links_is_an_error(package: Path) -> None:
    (package / "a").symlink_to("b")
    (package / "b").symlink_to("a")
    with pytest.raises(BuildError, match="cannot be read"):
        folder.files(package)


def test_a_socket_is_an_error(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(package)  # the path of a socket has at most 108 characters
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("agent")
        with pytest.raises(BuildError, match=r"agent is neither a file nor a folder"):
            folder.files(package)


def test_a_mode_counts_as_far_as_it_reaches_a_layer(package: Path, tmp_path: Path) -> None:
    tool = put(package, "src/mypkg/tool") / "src/mypkg/tool"
    tool.chmod(0o600)
    before = folder.digest(package)
    tool.chmod(0o664)
    assert folder.digest(package) == before
    tool.chmod(0o744)
    assert folder.digest(package) != before
    old = os.umask(0o077)
    try:
        made = folder.copy(package, tmp_path / "copy")
    finally:
        os.umask(old)
    modes = {
        path: (made / path).stat().st_mode & 0o777 for path in ("src/mypkg/tool", "pyproject.toml")
    }
    assert modes == {"src/mypkg/tool": 0o755, "pyproject.toml": 0o644}


def test_a_package_deep_in_a_repository_keeps_the_ignore_files_above(tmp_path: Path) -> None:
    put(tmp_path, ".gitignore", text="outside\n")
    top = put(tmp_path / "repo", ".git/HEAD", ".gitignore", "other/.gitignore", text="*.log\n")
    package = put(top / "libs/pkg", "pyproject.toml")
    before = folder.digest(package)
    made = folder.copy(package, tmp_path / "copy")
    assert made == tmp_path / "copy/libs/pkg"
    found = {path.relative_to(tmp_path / "copy") for path in (tmp_path / "copy").rglob("*")}
    assert {str(path) for path in found if path.suffix} == {"libs/pkg/pyproject.toml"}
    assert Path(".gitignore") in found
    assert Path("other") not in found
    put(top, ".gitignore", text="*.txt\n")
    assert folder.digest(package) != before

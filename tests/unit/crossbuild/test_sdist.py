"""What an sdist says about its build."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from layersmith.crossbuild import host, sdist
from layersmith.errors import BuildError


def make(folder: Path, pyproject: str | None, name: str = "thing-1.0.tar.gz") -> Path:
    members = {"setup.py": "", "nested/pyproject.toml": "[build-system]\nbuild-backend='wrong'\n"}
    if pyproject is not None:
        members["pyproject.toml"] = pyproject
    path = folder / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            for member, text in members.items():
                archive.writestr(f"thing-1.0/{member}", text)
        return path
    with tarfile.open(path, "w:gz") as tar:
        for member, text in members.items():
            info = tarfile.TarInfo(f"thing-1.0/{member}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


@pytest.mark.parametrize(
    ("backend", "requires", "kind"),
    [
        ("mesonpy", "meson-python", "meson-python"),
        ("scikit_build_core.build", "scikit-build-core>=0.10", "scikit-build-core"),
        ("setuptools.build_meta", "setuptools", "setuptools"),
        ("_custom_build.backend", "Scikit_Build.Core; python_version > '3'", "scikit-build-core"),
        ("hatchling.build", "hatchling", "other"),
    ],
)
def test_the_kind_of_backend(tmp_path: Path, backend: str, requires: str, kind: str) -> None:
    text = f'[build-system]\nbuild-backend = "{backend}"\nrequires = ["{requires}"]\n'

    project = sdist.read(make(tmp_path, text))

    assert (project.name, project.version, project.kind) == ("thing", "1.0", kind)


@pytest.mark.parametrize("name", ["thing-1.0.tar.gz", "thing-1.0.zip"])
def test_without_pyproject_it_is_legacy_setuptools(tmp_path: Path, name: str) -> None:
    project = sdist.read(make(tmp_path, None, name))

    assert project.backend == "setuptools.build_meta:__legacy__"
    assert project.requires == ("setuptools>=40.8.0",)
    assert project.kind == "setuptools"


@pytest.mark.parametrize(
    ("backend", "requires"),
    [("maturin", "maturin>=1,<2"), ("setuptools.build_meta", "setuptools_rust")],
)
def test_rust_is_refused_with_alternatives(tmp_path: Path, backend: str, requires: str) -> None:
    text = f'[build-system]\nbuild-backend = "{backend}"\nrequires = ["{requires}"]\n'
    project = sdist.read(make(tmp_path, text))

    with pytest.raises(BuildError, match=r"thing 1\.0 is compiled by Rust") as caught:
        project.refuse_rust("arm64")
    for alternative in ("pin a version", "`excludes`", "container"):
        assert alternative in str(caught.value)
    assert "`build: {thing: {container: true}}` with" in str(caught.value)


def test_c_is_not_refused(tmp_path: Path) -> None:
    sdist.read(make(tmp_path, None)).refuse_rust("arm64")


def test_a_broken_pyproject_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"pyproject.toml of thing-1\.0\.tar\.gz is broken"):
        sdist.read(make(tmp_path, "[build-system"))


def test_a_wheel_is_no_sdist(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="is not an sdist"):
        sdist.read(tmp_path / "thing-1.0-py3-none-any.whl")


def test_unpacking_gives_the_folder_of_the_sources(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()

    folder = sdist.unpack(make(tmp_path, ""), tmp_path / "to")

    assert folder == tmp_path / "to" / "thing-1.0"
    assert (folder / "setup.py").is_file()


def test_a_member_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "thing-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("thing-1.0/../../escaped"))
    (tmp_path / "to").mkdir()

    with pytest.raises(BuildError, match="outside the destination"):
        sdist.unpack(path, tmp_path / "to")
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("name", ["thing-1.0.tar.gz", "thing-1.0.zip"])
@pytest.mark.parametrize(("source", "compiled"), [("thing.c", True), ("thing.py", False)])
def test_whether_it_compiles_is_read_from_any_archive(
    tmp_path: Path, name: str, source: str, compiled: bool
) -> None:
    folder = tmp_path / "tree" / "thing-1.0"
    folder.mkdir(parents=True)
    (folder / source).write_text("")
    kind = "zip" if name.endswith(".zip") else "gztar"
    base = name.removesuffix(".zip").removesuffix(".tar.gz")
    path = Path(shutil.make_archive(str(tmp_path / base), kind, folder.parent))
    assert host.compiles(path) is compiled


def test_a_zip_keeps_what_is_executable(tmp_path: Path) -> None:
    path = tmp_path / "thing-1.0.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode in [("configure", 0o100700), ("setup.py", 0o100600)]:
            info = zipfile.ZipInfo(f"thing-1.0/{name}")
            info.external_attr = mode << 16
            archive.writestr(info, "")
    source = sdist.unpack(path, tmp_path)
    assert (source / "configure").stat().st_mode & 0o777 == 0o755
    assert (source / "setup.py").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["thing-1.0.tar.gz", "thing-1.0.zip"])
def test_a_damaged_archive_is_named(tmp_path: Path, name: str) -> None:
    path = make(tmp_path, "[build-system]\n", name)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(BuildError, match=rf"{name} is not a readable sdist"):
        host.compiles(path)

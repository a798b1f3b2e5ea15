"""The lock step with real uv against an index with packages made for it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from layersmith import lock
from layersmith.errors import LockError

from .conftest import Project, versions
from .index import LOGIN, Index

if TYPE_CHECKING:
    from pathlib import Path

AARCH64 = "manylinux_2_17_aarch64"


def test_the_file_that_the_target_uses_is_pinned(project: Project, index: Index) -> None:
    tags = [
        "cp312-cp312-manylinux_2_28_aarch64",
        "cp313-cp313-manylinux_2_28_x86_64",
        "cp313-cp313-musllinux_1_2_aarch64",
        "cp313-cp313-win_arm64",
        "cp313-cp313-manylinux_2_17_aarch64",
        "cp313-cp313-manylinux_2_28_aarch64",
        "cp313-cp313-manylinux_2_39_aarch64",
    ]
    index.wheel("native", "1.0", *tags)
    index.sdist("native", "1.0")
    project.write("requirements: [native]", runtimes="python3.12, python3.13")
    first, second = (result.lock for result in project.results())
    assert first
    assert second
    for found, tag in ((first, tags[0]), (second, tags[5])):
        (entry,) = found.entries
        assert entry.filename == f"native-1.0-{tag}.whl"
        assert entry.sha256 == index.sha256(entry.filename)
        assert entry.via == ("layers.yaml",)


def test_a_lock_names_no_index_and_no_folder(project: Project, index: Index) -> None:
    index.wheel("a", "1.0", requires=["b"])
    index.wheel("b", "1.0")
    project.write("requirements: [a]")
    project.lock()
    text = project.path().read_text()
    assert "://" not in text
    assert "127.0.0.1" not in text
    assert str(project.root) not in text
    assert "# via a\n" in text


def test_a_wheel_for_a_newer_glibc_than_manylinux2014_is_taken(
    project: Project, index: Index
) -> None:
    index.wheel("new", "1.0", "cp313-cp313-manylinux_2_31_aarch64")
    project.write("requirements: [new]")
    assert versions(project.lock()) == {"new": "1.0"}


def test_the_floor_of_amazon_linux_2_is_kept_exactly(project: Project, index: Index) -> None:
    """uv knows glibc 2.17 and 2.28, and nothing between them."""
    index.wheel("floor", "3.0", "cp311-cp311-manylinux_2_28_aarch64")
    index.wheel("floor", "2.0", "cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64")
    index.wheel("floor", "1.0", "cp311-cp311-manylinux_2_26_aarch64.manylinux_2_28_aarch64")
    project.write("requirements: [floor]", runtimes="python3.11")
    (result,) = project.results()
    assert result.lock
    assert versions(result.lock) == {"floor": "1.0"}
    (note,) = result.notes
    assert note.startswith("floor 3.0 is newer than 1.0 but has no wheel for python3.11 on aarch64")
    project.write("requirements: [floor>=2]", runtimes="python3.11")
    error = project.refused()
    assert "ruled out before: floor 3.0, floor 2.0" in error.message
    assert "floor 3.0 has no wheel for python3.11 on aarch64-manylinux_2_26" in str(error.cause)


def test_markers_are_judged_for_the_target(project: Project, index: Index) -> None:
    index.wheel(
        "marked",
        "1.0",
        requires=[
            'arm; platform_machine == "aarch64"',
            'intel; platform_machine == "x86_64"',
            'windows; sys_platform == "win32"',
            'old; python_version < "3.13"',
            'pypy; platform_python_implementation == "PyPy"',
            'extra; extra == "more"',
        ],
    )
    for name in ("arm", "intel", "windows", "old", "pypy", "extra"):
        index.wheel(name, "1.0")
    project.write("requirements: [marked, 'own; platform_machine != \"aarch64\"']",
                  "architectures: [arm64, x86_64]",
                  runtimes="python3.12, python3.13")  # fmt: skip
    index.wheel("own", "1.0")
    found = {r.target.identifier: set(versions(r.lock)) for r in project.results() if r.lock}
    assert found == {
        "demo-python3.12-arm64": {"marked", "arm", "old"},
        "demo-python3.12-x86_64": {"marked", "intel", "old", "own"},
        "demo-python3.13-arm64": {"marked", "arm"},
        "demo-python3.13-x86_64": {"marked", "intel", "own"},
    }


def test_without_a_wheel_for_the_target_those_that_exist_are_named(
    project: Project, index: Index
) -> None:
    index.wheel("intel", "1.0", "cp313-cp313-manylinux_2_28_x86_64", "cp313-cp313-win_amd64")
    project.write("requirements: [intel]")
    error = project.refused()
    assert "Because intel==1.0 has no wheels with a matching platform tag" in error.message
    assert error.cause == (
        "intel 1.0 has no wheel for python3.13 on aarch64-manylinux_2_34; "
        "wheels exist for cp313: manylinux_2_28_x86_64, win_amd64"
    )
    assert "build:" in str(error.hint)


def test_wheels_for_another_python_alone_are_named(project: Project, index: Index) -> None:
    index.wheel("old", "1.0", f"cp311-cp311-{AARCH64}", f"cp312-cp312-{AARCH64}")
    project.write("requirements: [old==1.0]")
    assert f"wheels exist for cp311, cp312: {AARCH64}" in str(project.refused().cause)


def test_an_older_version_is_never_taken_silently(project: Project, index: Index) -> None:
    index.wheel("late", "1.0")
    index.wheel("late", "2.0", "cp313-cp313-win_amd64")
    index.wheel("asks", "1.0")
    index.wheel("asks", "2.0", python=">=3.14")
    index.wheel("behind", "1.0")
    index.wheel("behind", "2.0", f"cp312-cp312-{AARCH64}")
    index.wheel("held", "1.0")
    index.wheel("held", "2.0")
    project.write("requirements: [late, asks, behind, held<2]")
    (result,) = project.results()
    assert result.lock
    assert set(versions(result.lock).values()) == {"1.0"}
    lacks = "is newer than 1.0 but has no wheel for python3.13 on aarch64-manylinux_2_34"
    assert list(result.notes) == [
        "asks 2.0 is newer than 1.0 but asks for Python >= 3.14",
        f"behind 2.0 {lacks}; wheels exist for cp312: {AARCH64}",
        f"late 2.0 {lacks}; wheels exist for cp313: win_amd64",
    ]


def test_a_conflict_is_explained_by_uv_and_summed_up(project: Project, index: Index) -> None:
    index.wheel("a", "1.0", requires=["shared<2"])
    index.wheel("b", "1.0", requires=["shared>=2"])
    index.wheel("shared", "1.0")
    index.wheel("shared", "2.0")
    project.write("requirements: [a, b]")
    error = project.refused()
    assert "depend on shared<2" in error.message
    assert "depend on shared>=2" in error.message
    assert error.cause == "two requirements ask for versions that exclude each other"


def test_what_the_runtime_provides_resolves_so_that_conflicts_show(
    project: Project, index: Index
) -> None:
    index.wheel("client", "1.0", requires=["urllib3<2"])
    index.wheel("boto3", "1.0", requires=["urllib3>=2"])
    index.wheel("urllib3", "1.26")
    index.wheel("urllib3", "2.5")
    project.write("requirements: [client, boto3]")
    assert "urllib3" in project.refused().message


def test_a_name_that_does_not_exist(project: Project) -> None:
    project.write("requirements: [no-such-thing]")
    error = project.refused()
    assert "no-such-thing was not found in the package registry" in error.message
    assert "misspelt" in str(error.cause)


def test_an_index_that_cannot_be_reached(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    project.write("requirements: [a]")
    assert project.refused().cause == "the package index cannot be reached"


def test_what_exists_as_an_sdist_alone_is_locked_as_one(project: Project, index: Index) -> None:
    index.sdist("source", "1.0")
    index.wheel("top", "1.0", requires=["source"])
    project.write("requirements: [top]")
    entry = project.lock().entry("source")
    assert entry
    assert entry.filename == "source-1.0.tar.gz"
    assert entry.sha256 == index.sha256(entry.filename)
    assert not entry.is_wheel


def test_an_sdist_beside_wheels_for_others_is_refused_unless_asked_for(
    project: Project, index: Index
) -> None:
    index.sdist("compiled", "1.0")
    index.wheel("compiled", "1.0", "cp313-cp313-win_amd64")
    project.write("requirements: [compiled]")
    error = project.refused()
    assert error.message == "compiled 1.0 has no wheel for python3.13 on aarch64-manylinux_2_34"
    assert error.cause == "wheels exist for cp313: win_amd64"
    project.write("requirements: [compiled]", "build: {compiled: {}}")
    assert not project.lock().entries[0].is_wheel
    index.wheel("top", "1.0", requires=["compiled"])
    project.write("requirements: [top]", "excludes: {compiled: not used}")
    assert set(versions(project.lock())) == {"top", "compiled"}, "nothing of it will be built"


def test_build_takes_the_sdist_although_a_wheel_fits(project: Project, index: Index) -> None:
    for version in ("1.0", "2.0"):
        index.wheel("both", version, f"cp313-cp313-{AARCH64}")
        index.sdist("both", version)
    project.write("requirements: [both]", "build: {both: {version: '1.0'}}")
    (entry,) = project.lock().entries
    assert entry.filename == "both-1.0.tar.gz"


def test_constraints_and_extras(project: Project, index: Index) -> None:
    index.wheel("a", "1.0", requires=["b", 'c; extra == "more"'])
    for version in ("1.0", "2.0"):
        index.wheel("b", version)
    index.wheel("c", "1.0")
    project.write("requirements: [a]", "constraints: [b<2, unused>5]", "extras: {a: [more]}")
    found = project.lock()
    assert versions(found) == {"a": "1.0", "b": "1.0", "c": "1.0"}
    assert {entry.name: entry.via for entry in found.entries}["b"] == ("a",)


def test_an_override_replaces_what_a_distribution_asks_for(project: Project, index: Index) -> None:
    index.wheel("a", "1.0", requires=["b<2"])
    for version in ("1.0", "2.0"):
        index.wheel("b", version)
    project.write("requirements: [a]", "overrides: [b>=2]")
    found = project.lock()
    assert versions(found) == {"a": "1.0", "b": "2.0"}
    assert {entry.name: entry.via for entry in found.entries}["b"] == ("a",)


def local(project: Project, name: str, text: str) -> Path:
    folder = project.root / name
    folder.mkdir(exist_ok=True)
    if "[build-system]" not in text:  # the index of these tests has no setuptools
        text += '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        (folder / "backend.py").touch()
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_local_packages_contribute_their_dependencies(project: Project, index: Index) -> None:
    index.wheel("a", "1.0")
    index.wheel("b", "1.0")
    local(project, "one", '[project]\nname = "One"\nversion = "1"\ndependencies = ["a", "two"]\n'
          '[project.optional-dependencies]\nmore = ["b"]\n')  # fmt: skip
    local(project, "two", '[project]\nname = "two"\nversion = "1"\ndependencies = []\n')
    project.write("packages: [one, two]", "extras: {one: [more]}")
    found = project.lock()
    assert {entry.name: entry.via for entry in found.entries} == {"a": ("one",), "b": ("one",)}
    local(project, "one", '[project]\nname = "one"\nversion = "2"\n')
    with pytest.raises(LockError, match="packages changed since it was written"):
        lock.check(project.targets()[0], project.root)


BACKEND = """\
[project]
name = "dynamic"
version = "1"
dynamic = ["dependencies"]
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


def test_dynamic_dependencies_are_asked_of_the_build_without_secrets(
    project: Project, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do-not-show")
    index.wheel("a", "1.0")
    folder = local(project, "dynamic", BACKEND)
    (folder / "backend.py").write_text(
        "import os, pathlib\n"
        "def prepare_metadata_for_build_wheel(to, config_settings=None):\n"
        "    assert 'AWS_SECRET_ACCESS_KEY' not in os.environ\n"
        "    info = pathlib.Path(to, 'dynamic-1.dist-info'); info.mkdir()\n"
        "    text = 'Metadata-Version: 2.1\\nName: dynamic\\nVersion: 1\\nRequires-Dist: a\\n'\n"
        "    info.joinpath('METADATA').write_text(text)\n"
        "    info.joinpath('WHEEL').write_text('Wheel-Version: 1.0\\nTag: py3-none-any\\n')\n"
        "    return info.name\n"
    )
    project.write("packages: [dynamic]")
    assert versions(project.lock()) == {"a": "1.0"}


def test_a_local_package_whose_build_fails(project: Project) -> None:
    folder = local(project, "dynamic", BACKEND)
    (folder / "backend.py").write_text("raise SystemExit('the backend is broken')\n")
    project.write("packages: [dynamic]")
    error = project.refused()
    assert "the backend is broken" in error.message
    assert "metadata of a local package" in str(error.cause)


def test_versions_are_kept_until_they_are_upgraded(project: Project, index: Index) -> None:
    for name in ("a", "b"):
        index.wheel(name, "1.0")
    project.write("requirements: [a, b]")
    project.lock()
    for name in ("a", "b"):
        index.wheel(name, "2.0")
    shutil.rmtree(project.root.parent / "uv-cache")
    assert versions(project.lock()) == {"a": "1.0", "b": "1.0"}
    with pytest.raises(LockError, match="aa cannot be upgraded") as caught:
        project.results(upgrade=["aa"])
    assert caught.value.hint == "did you mean a?"
    (result,) = project.results(upgrade=["A"])
    assert [str(change) for change in result.changes] == ["~ a 1.0 -> 2.0"]
    (result,) = project.results(upgrade=True)
    assert [str(change) for change in result.changes] == ["~ b 1.0 -> 2.0"]


def test_a_lock_that_did_not_change_is_not_written(project: Project, index: Index) -> None:
    index.wheel("a", "1.0")
    project.write("requirements: [a]")
    project.lock()
    before = project.path().stat()
    project.lock()
    assert project.path().stat().st_mtime_ns == before.st_mtime_ns


def test_one_failure_stops_no_other_and_leaves_the_old_lock(project: Project, index: Index) -> None:
    index.wheel("a", "1.0", f"cp312-cp312-{AARCH64}", f"cp313-cp313-{AARCH64}")
    project.write("requirements: [a]", runtimes="python3.12, python3.13")
    project.results()
    old = (project.root / "locks" / "demo-python3.13-arm64.txt").read_bytes()
    index.wheel("a", "2.0", f"cp312-cp312-{AARCH64}")
    shutil.rmtree(project.root.parent / "uv-cache")
    project.write("requirements: [a>=2]", runtimes="python3.12, python3.13")
    good, bad = project.results()
    assert good.lock
    assert versions(good.lock) == {"a": "2.0"}
    assert bad.error
    assert (project.root / "locks" / "demo-python3.13-arm64.txt").read_bytes() == old


def test_urls_of_a_lock_are_asked_once_and_again_when_told(
    project: Project, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.wheel("a", "1.0", f"cp313-cp313-{AARCH64}", "py3-none-any")
    index.sdist("s", "1.0")
    project.write("requirements: [a, s]")
    found, target = project.lock(), project.targets()[0]
    shutil.rmtree(project.root.parent / "cache")
    listed = lock.urls(found, target, root=project.root)
    for entry in found.entries:
        url, filename, size = listed[entry.sha256]
        assert filename == entry.filename
        assert url.startswith(f"http://127.0.0.1:{index.port}/")
        assert size is None
    (index.folder / "s-1.0.tar.gz").unlink()
    index.sdist("s", "2.0")
    assert lock.urls(found, target, root=project.root) == listed, "from the cache"
    shutil.rmtree(project.root.parent / "uv-cache")
    with pytest.raises(LockError, match=r"s==1\.0"):
        lock.urls(found, target, root=project.root, refresh=True)


def test_a_file_that_was_replaced_on_the_index_is_not_used(project: Project, index: Index) -> None:
    index.wheel("a", "1.0")
    project.write("requirements: [a]")
    found, target = project.lock(), project.targets()[0]
    (index.folder / "a-1.0-py3-none-any.whl").write_bytes(b"something else")
    shutil.rmtree(project.root.parent / "uv-cache")
    with pytest.raises(LockError, match=r"does not offer a-1[.]0-py3-none-any[.]whl"):
        lock.urls(found, target, root=project.root, refresh=True)


def test_a_login_in_the_index_url_is_written_nowhere(
    project: Project, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.private_url)
    index.wheel("a", "1.0")
    project.write("requirements: [a]")
    good = project.cli("--json")
    assert good.returncode == 0, good.stderr
    project.write("requirements: [a>=2, b]")
    bad = project.cli()
    assert bad.returncode == 4
    said = good.stdout + good.stderr + bad.stdout + bad.stderr
    cached = [path for path in (project.root.parent / "cache").rglob("*") if path.is_file()]
    assert cached
    for text in (said, project.path().read_text()):
        assert LOGIN[1] not in text
    for path in cached:
        assert LOGIN[1].encode() not in path.read_bytes()


def test_a_lite_blas_has_its_sdist_and_its_compiler_in_the_lock(
    project: Project, index: Index
) -> None:
    index.wheel("numpy", "2.0")
    project.write("requirements: [numpy]", "lite-blas: true")
    assert "no sdist of numpy 2.0, from which a lite BLAS is built" in project.refused().message
    index.sdist("numpy", "2.0")
    (entry,) = project.lock().entries
    assert entry.source
    assert entry.source.filename == "numpy-2.0.tar.gz"
    assert entry.source.sha256 == index.sha256("numpy-2.0.tar.gz")
    assert entry.build[0].startswith("zig==")
    target = project.targets()[0]
    places = lock.urls(lock.check(target, project.root), target, root=project.root)
    assert {name for _, name, _ in places.values()} == {
        "numpy-2.0-py3-none-any.whl",
        "numpy-2.0.tar.gz",
    }


def test_a_lock_without_the_sdist_of_a_lite_blas_no_longer_fits(
    project: Project, index: Index
) -> None:
    index.wheel("numpy", "2.0")
    project.write("requirements: [numpy]")
    assert project.lock().entries[0].source is None
    project.write("requirements: [numpy]", "lite-blas: true")
    with pytest.raises(LockError, match="lite-blas changed since it was written"):
        lock.check(project.targets()[0], project.root)


def test_hashes_of_a_requirements_file_choose_and_check_the_file(
    project: Project, index: Index
) -> None:
    index.wheel("a", "1.0", f"cp313-cp313-{AARCH64}", "py3-none-any")
    file = project.root / "requirements.txt"
    allowed = index.sha256("a-1.0-py3-none-any.whl")
    file.write_text(f"a==1.0 \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{allowed}\n")
    project.write("requirements: {file: requirements.txt}")
    (entry,) = project.lock().entries
    assert entry.sha256 == allowed
    file.write_text(f"a==1.0 --hash=sha256:{'0' * 64}\n")
    assert "none of the hashes for a in the requirements file" in project.refused().message

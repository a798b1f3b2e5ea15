"""What the runtime provides stays out of a layer, and its versions decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith import lock
from layersmith.base import runtimes
from layersmith.errors import LockError

if TYPE_CHECKING:
    from .conftest import Project
    from .index import Index

URLLIB3 = next(one.version for one in runtimes.get("python3.13").provides if one.name == "urllib3")


@pytest.fixture(autouse=True)
def offered(index: Index) -> None:
    index.wheel("urllib3", "1.26.0")
    index.wheel("urllib3", URLLIB3)
    index.wheel("urllib3", "99.0")
    index.wheel("client", "1.0", requires=["urllib3"])
    index.wheel("dated", "1.0", requires=["urllib3<2"])
    index.wheel("between", "1.0", requires=["dated"])


def test_the_runtimes_version_is_locked_in_place_of_the_newest(project: Project) -> None:
    project.write("requirements: [client]")
    assert project.lock().entry("urllib3").version == URLLIB3  # type: ignore[union-attr]
    project.write("requirements: [client]", "keep-provided: [urllib3]")
    assert project.lock(upgrade=True).entry("urllib3").version == "99.0"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("lines", "who"),
    [
        (["requirements: [client, urllib3<2]"], "`urllib3<2` of layers.yaml excludes"),
        (["requirements: [client]", "constraints: [urllib3>90]"], "`urllib3>90` of layers.yaml"),
        (["requirements: [client, between]"], "dated 1.0 excludes"),
    ],
)
def test_what_excludes_the_runtimes_version_is_named(
    project: Project, lines: list[str], who: str
) -> None:
    project.write(*lines)
    error = project.refused()
    assert f"python3.13 provides urllib3 {URLLIB3}" in error.message
    assert who in error.message
    assert "keep-provided: [urllib3]" in str(error.hint)
    project.write(*lines, "keep-provided: [urllib3]")
    assert project.lock()


def test_only_what_brings_the_others_has_to_be_kept(project: Project, index: Index) -> None:
    for name in ("boto3", "botocore"):
        index.wheel(name, "0.1")
    project.write("requirements: [client, boto3<1, botocore<1]")
    assert "`keep-provided: [boto3]`" in str(project.refused().hint)


def test_excludes_and_stubs_decide_before_the_runtime(project: Project) -> None:
    project.write("requirements: [dated]", "excludes: {urllib3: tests do without}")
    assert project.lock()


def test_an_index_without_the_runtimes_version_is_not_held_against_a_layer(
    project: Project, index: Index
) -> None:
    (index.folder / f"urllib3-{URLLIB3}-py3-none-any.whl").unlink()
    project.write("requirements: [client]")
    assert project.lock().entry("urllib3").version == "99.0"  # type: ignore[union-attr]


def test_what_a_user_names_is_said(project: Project) -> None:
    project.write("requirements: [client, urllib3]")
    (result,) = project.results()
    (note,) = result.notes
    assert note.startswith(f"urllib3 stays out of the layer: python3.13 provides {URLLIB3} (`keep-")


def test_a_layer_in_which_nothing_is_left_is_refused(project: Project) -> None:
    project.write("requirements: [urllib3]")
    error = project.refused()
    assert error.message == "nothing is left in the layer"
    assert "keep-provided: [urllib3]" in str(error.hint)
    project.write("requirements: ['client; sys_platform == \"win32\"']")
    assert "markers" in str(project.refused().cause)
    project.write("requirements: [client]", "excludes: {client: a test}")
    assert "keep-provided" not in str(project.refused().hint)


def test_a_lock_from_before_is_judged_by_the_runtimes_version(project: Project) -> None:
    project.write("requirements: [client, urllib3<2]", "keep-provided: [urllib3]")
    project.lock()
    project.write("requirements: [client, urllib3<2]")
    with pytest.raises(LockError, match=r"`urllib3<2` of layers\.yaml excludes"):
        lock.check(project.targets()[0], project.root)


def test_what_an_extra_brought_is_wanted(project: Project, index: Index) -> None:
    version = runtimes.get("python3.13").left_out([])["boto3"].version
    index.wheel("awscrt", "1.0")
    index.wheel("boto3", version, requires=["awscrt; extra == 'crt'"])
    project.write("requirements: [client, 'boto3[crt]']")
    (result,) = project.results()
    assert not [note for note in result.notes if "consider excluding" in note]
    index.wheel("boto3", version, requires=["awscrt"])
    project.write("requirements: [client, boto3]")
    (result,) = project.results()
    assert [note for note in result.notes if "only boto3 needs awscrt" in note]


MANAGED = "managed-layers: [{name: theirs, distributions: {dated: '1.0', lib: '1.0'}}]"


def test_what_a_managed_layer_brings_is_locked_in_its_version(
    project: Project, index: Index
) -> None:
    index.wheel("lib", "1.0")
    index.wheel("lib", "2.0")
    index.wheel("app", "1.0", requires=["lib"])
    project.write("requirements: [app]", MANAGED)
    (result,) = project.results()
    assert result.lock
    assert result.lock.entry("lib").version == "1.0"  # type: ignore[union-attr]
    assert "left out, because theirs brings it: lib 1.0" in result.notes
    target = project.targets()[0]
    assert lock.check(target, project.root) == result.lock
    assert set(target.provided) >= {"lib", "dated", "urllib3"}

    project.write("requirements: [app]", MANAGED.replace("lib: '1.0'", "lib: '2.0'"))
    with pytest.raises(LockError, match="managed-layers changed since it was written"):
        lock.check(project.targets()[0], project.root)
    project.write("requirements: [app, lib>=2]", MANAGED)
    error = project.refused()
    assert (
        "the managed layer theirs provides lib 1.0, which `lib>=2` of layers.yaml excludes"
        in error.message
    )
    assert "keep-provided: [lib]" in str(error.hint)
    project.write("requirements: [app, lib>=2]", MANAGED, "keep-provided: [lib]")
    assert project.lock().entry("lib").version == "2.0"  # type: ignore[union-attr]


def test_a_layer_of_what_a_managed_layer_brings_is_empty(project: Project, index: Index) -> None:
    index.wheel("lib", "1.0")
    project.write("requirements: [lib, urllib3]", MANAGED)
    error = project.refused()
    assert error.message == "nothing is left in the layer"
    assert "the managed layer theirs and python3.13 provide lib and urllib3" in str(error.cause)


def test_an_unknown_managed_layer_is_said(project: Project) -> None:
    project.write("requirements: [client]", "managed-layers: [Unheard-Of, Datadog-Extension-ARM]")
    (result,) = project.results()
    (note,) = result.notes
    assert "the managed layer Unheard-Of is not known" in note
    assert "managed-layers: [{name: Unheard-Of, distributions:" in note

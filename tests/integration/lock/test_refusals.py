"""Refusals name the true cause, and sound requirements are not refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .conftest import versions

if TYPE_CHECKING:
    from .conftest import Project
    from .index import Index

AARCH64 = "manylinux_2_17_aarch64"


def test_what_lacks_a_wheel_is_blamed_and_not_what_asks_for_it(
    project: Project, index: Index
) -> None:
    index.wheel("app", "1.0", requires=["low<2"])
    index.sdist("app", "0.1")
    index.wheel("low", "1.0", f"cp311-cp311-{AARCH64}", "cp313-cp313-win_amd64")
    index.sdist("low", "1.0")
    index.wheel("low", "2.0")
    project.write("requirements: [app]")
    error = project.refused()
    assert error.message.startswith("low 1.0 has no wheel for python3.13")
    assert "app asks for it" in error.message
    assert "depends on low<2" in error.message
    assert "python3.11" in str(error.hint)


def test_a_wheel_is_taken_although_older_versions_are_sdists(
    project: Project, index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    index.wheel("app", "1.0", requires=["low"])
    index.sdist("app", "0.1")
    index.sdist("low", "1.0")
    project.write("requirements: [app]")
    lock = project.lock()
    assert versions(lock) == {"app": "1.0", "low": "1.0"}
    assert [entry.is_wheel for entry in lock.entries] == [True, False]
    assert "uv reads the metadata of" in capsys.readouterr().err


def test_a_wheel_for_a_newer_glibc(project: Project, index: Index) -> None:
    tags = [f"cp3{minor}-cp3{minor}-manylinux_2_28_aarch64" for minor in (11, 12)]
    for version in ("1.0", "2.0"):
        index.wheel("heavy", version, *tags)
        index.sdist("heavy", version)
    index.sdist("heavy", "0.1")
    project.write("requirements: [heavy]", runtimes="python3.11")
    error = project.refused()
    assert error.message.startswith("heavy 2.0 has no wheel for python3.11")
    assert "needs glibc 2.28, and Amazon Linux 2 of python3.11 has 2.26" in str(error.cause)
    assert "choose a runtime that can use it (python3.12)" in str(error.hint)


def test_what_the_build_of_an_sdist_said_is_shown(project: Project, index: Index) -> None:
    index.sdist("placeholder", "1.0", backend="raise SystemExit('use scikit-learn instead')\n")
    project.write("requirements: [placeholder]")
    error = project.refused()
    assert "use scikit-learn instead" in error.message
    assert "its sdist does not build" in str(error.cause)


@pytest.mark.parametrize("offered", [True, False])
def test_an_alternative_is_named_where_the_index_has_it(
    project: Project, index: Index, offered: bool
) -> None:
    index.wheel("psycopg2", "2.9", "cp313-cp313-win_amd64")
    index.sdist("psycopg2", "2.9")
    tag = AARCH64 if offered else "win_amd64"
    index.wheel("psycopg2_binary", "2.9", f"cp313-cp313-{tag}")
    project.write("requirements: [psycopg2]")
    assert ("ask for psycopg2-binary instead" in str(project.refused().hint)) == offered


def test_a_wrong_password_is_no_misspelt_name(
    project: Project, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.wheel("thing", "1.0")
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.private_url.replace("s3cr3t-", "wrong-"))
    project.write("requirements: [thing]")
    error = project.refused()
    assert "refuses the one that it was given" in str(error.cause)
    assert "wrong-" not in str(error)

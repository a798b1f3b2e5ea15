"""Versions that the index has yanked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .conftest import versions

if TYPE_CHECKING:
    from .conftest import Project
    from .index import Index


@pytest.fixture(autouse=True)
def offered(index: Index) -> None:
    for version in ("1.0", "2.0", "3.0"):
        index.wheel("thing", version)
    index.wheel("other", "1.0")
    index.wheel("pins", "1.0", requires=["thing==3.0"])


def yank(index: Index, version: str) -> None:
    index.yanked.add(f"thing-{version}-py3-none-any.whl")


def test_a_good_version_is_preferred_to_the_lock(project: Project, index: Index) -> None:
    project.write("requirements: [thing, other]")
    assert versions(project.lock()) == {"thing": "3.0", "other": "1.0"}
    index.wheel("other", "2.0")
    yank(index, "3.0")
    (result,) = project.results()
    assert result.lock
    assert versions(result.lock) == {"thing": "2.0", "other": "1.0"}, "the others are kept"
    assert not result.notes


@pytest.mark.parametrize(("requirement", "who"), [("thing==3.0", "layers.yaml"), ("pins", "pins")])
def test_what_leaves_no_other_version_is_said(
    project: Project, index: Index, requirement: str, who: str
) -> None:
    project.write(f"requirements: [{requirement}]")
    project.lock()
    yank(index, "3.0")
    (result,) = project.results()
    assert result.lock
    assert versions(result.lock)["thing"] == "3.0"
    (note,) = result.notes
    assert note.startswith(f"thing 3.0 was yanked from the index; {who} leaves no other version")


def test_a_yanked_wheel_is_not_preferred_to_a_good_one(project: Project, index: Index) -> None:
    index.wheel("thing", "4.0", "cp313-none-any", "py3-none-any")
    project.write("requirements: [thing, thing==4.0]")
    (entry,) = project.lock().entries
    assert entry.filename == "thing-4.0-cp313-none-any.whl"
    index.yanked.add(entry.filename)
    (result,) = project.results()
    assert result.lock
    assert [one.filename for one in result.lock.entries] == ["thing-4.0-py3-none-any.whl"]
    assert not result.notes


def test_a_page_as_json_says_it_too(project: Project, index: Index) -> None:
    index.wheel("thing", "4.0", "cp313-none-any", "py3-none-any")
    index.yanked.add("thing-4.0-cp313-none-any.whl")
    index.json = True
    project.write("requirements: [thing==4.0]")
    assert [one.filename for one in project.lock().entries] == ["thing-4.0-py3-none-any.whl"]


def test_a_yanked_wheel_beside_a_good_sdist_is_said(project: Project, index: Index) -> None:
    index.wheel("thing", "4.0")
    index.sdist("thing", "4.0")
    yank(index, "4.0")
    project.write("requirements: [thing==4.0]")
    (result,) = project.results()
    (note,) = result.notes
    assert note.startswith("thing 4.0 was yanked from the index; layers.yaml leaves no other")


def test_a_range_passes_over_a_version_whose_wheel_is_yanked(
    project: Project, index: Index
) -> None:
    index.wheel("thing", "4.0")
    index.sdist("thing", "4.0")
    yank(index, "4.0")
    project.write("requirements: [thing]")
    assert versions(project.lock()) == {"thing": "3.0"}

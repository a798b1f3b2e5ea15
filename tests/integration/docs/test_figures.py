"""What README.md and docs/ show of a build is what the build in dist/ says."""

from __future__ import annotations

import platform

import pytest

from tests import figures

pytestmark = pytest.mark.needs("python3.12", "python3.13", "python3.14")
"""Their bytecode is a part of the figures."""


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    if not figures.manifests():
        pytest.skip("dist/ holds no layers to compare with; build them by `nox -s build`")


@pytest.mark.slow
def test_pages_and_pictures_are_those_of_the_build() -> None:
    # The picture of the terminal shows a layer with bytecode, and its twin for x86-64.
    if platform.machine() != "x86_64":
        pytest.skip(f"the picture was made on x86-64 with {figures.RUNTIME}")
    assert figures.stale() == []


def test_another_size_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = figures.manifests()
    name = f"imaging-{figures.RUNTIME}-arm64"
    artifact = made[name].artifact.model_copy(update={"zipped": 1})
    made[name] = made[name].model_copy(update={"artifact": artifact})
    monkeypatch.setattr(figures, "manifests", lambda: made)
    wrong = [path.name for path, text in figures.pages() if path.read_text("utf-8") != text]
    assert wrong == ["README.md"]

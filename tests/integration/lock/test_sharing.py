"""Targets with equal inputs are resolved once, and a change writes the locks that it concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith import lock
from layersmith.base import uv
from layersmith.lock import targets as locking

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Project
    from .index import Index

LAYER = "  {}: {{description: d, version: 1.0.0, requirements: [{}]}}\n"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What uv is asked from here on: ``lock``, and what ``pip compile`` resolves."""
    made: list[str] = []
    run = uv.run

    def counted(*words: str | Path, **settings: object) -> object:
        kind = "offers" if "--no-deps" in words else "resolve"
        made.append("graph" if words[0] == "lock" else kind)
        return run(*words, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(uv, "run", counted)
    return made


def write(project: Project, **layers: str) -> None:
    text = "".join(LAYER.format(name, wanted) for name, wanted in layers.items())
    (project.root / "layers.yaml").write_text(
        f"defaults: {{runtimes: [python3.13]}}\nlayers:\n{text}"
    )


def locked(project: Project) -> dict[str, dict[str, str]]:
    results = locking.update(project.targets(), project.root, quiet=True)
    assert not [one.error for one in results if one.error]
    for one in results:
        assert lock.read(lock.lock_path(one.target, project.root)) == one.lock
    return {
        one.target.layer: {e.name: e.version for e in one.lock.entries}
        for one in results
        if one.lock
    }


def test_uv_is_asked_for_what_is_different(
    project: Project, index: Index, calls: list[str]
) -> None:
    index.wheel("a", "1.0", requires=["b"])
    index.wheel("b", "1.0")
    write(project, one="a", two="a", three="b", four="a")
    assert locked(project) == {
        **{name: {"a": "1.0", "b": "1.0"} for name in ("one", "two", "four")},
        "three": {"b": "1.0"},
    }
    assert sorted(calls) == ["graph", "graph", "offers", "offers", "resolve", "resolve"]
    before = {path: path.stat().st_mtime_ns for path in (project.root / "locks").iterdir()}
    write(project, one="a", two="a", three="b>=1", four="a")
    locked(project)
    changed = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == {"three-python3.13-arm64.txt"}


def test_one_that_does_not_resolve_stops_no_equal_one(project: Project, index: Index) -> None:
    index.wheel("a", "1.0")
    write(project, one="missing", two="missing", three="a")
    results = locking.update(project.targets(), project.root, quiet=True)
    failed = [one.error.target for one in results if one.error]
    assert failed == ["one-python3.13-arm64", "two-python3.13-arm64"]

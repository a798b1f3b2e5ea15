"""What bills of materials cost a build of the shipped layers that finds all it needs in its caches.

What they take of the processor is counted where they are read and written, and compared with the
rest of the same build: two builds differ by more than that.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import lock
from layersmith.assemble.bill import sbom
from layersmith.config import loader
from layersmith.pipeline import Build
from layersmith.plan import plan
from layersmith.recipes.book import RecipeBook

from tests.bench.comparisons import note

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).parents[2]
WANTED = 0.3
"""Seconds that bills may add."""


def test_bills_of_the_shipped_layers(
    benchmark: BenchmarkFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = loader.load(ROOT / "layers.yaml").config
    targets = [lock.with_recipes(one, ROOT) for one in plan(config, book=RecipeBook(None))]
    spent: list[float] = []

    def counted(work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            started = time.thread_time()
            found = work(*arguments)
            spent.append(time.thread_time() - started)
            return found

        return run

    def build() -> float:
        spent.clear()
        started = time.process_time()
        results = Build(ROOT, tmp_path / "dist", force=True, quiet=True).run(targets)
        assert all(one.status == "built" for one in results)
        return time.process_time() - started

    monkeypatch.setattr(sbom, "embedded", counted(sbom.embedded))
    monkeypatch.setattr(sbom, "render", counted(sbom.render))
    build()  # fills the caches
    whole = benchmark.pedantic(build, rounds=1)  # type: ignore[no-untyped-call]
    added = sum(spent)
    assert len(spent) == 2 * len(targets)
    rest = whole - added
    row = note(
        "bills of materials of the shipped layers",
        "the same build without them",
        whole,
        rest,
        wanted=1 + WANTED / rest,
        cpu=whole / rest,
    )
    benchmark.extra_info.update(ratio=row.ratio, wanted=row.wanted, added=round(added, 3))

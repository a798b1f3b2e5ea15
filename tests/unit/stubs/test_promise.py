"""What chromadb-vector promises is held by its budgets, which every build judges."""

from __future__ import annotations

from pathlib import Path

from layersmith.config import loader

LAYER = loader.load(Path(__file__).parents[3] / "layers.yaml").config.layers["chromadb-vector"]


def test_the_budgets_are_no_larger_than_the_promise() -> None:
    budgets = LAYER.budgets
    assert budgets.zipped is not None and budgets.zipped <= 9_000_000
    assert budgets.unzipped is not None and budgets.unzipped <= 26_000_000
    assert budgets.cold_start is not None and budgets.cold_start <= 3


def test_it_is_proven_by_a_vector_session_without_images_or_models() -> None:
    assert LAYER.smoke == "tests/smoke/chromadb_vector.py"
    assert {"PIL", "onnxruntime"} <= set(LAYER.forbid_imports)


def test_bytecode_is_there() -> None:
    assert LAYER.bytecode.value != "none"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from layersmith.assemble import budgets
from layersmith.assemble.describe import Graph
from layersmith.assemble.manifest import (
    Artifact,
    AuditRecord,
    BytecodeRecord,
    Distribution,
    Inputs,
    Manifest,
)
from layersmith.base import runtimes
from layersmith.base.runtimes import get
from layersmith.config.models import Budgets, Config, Function, Layer
from layersmith.errors import BudgetError
from layersmith.plan import Target

if TYPE_CHECKING:
    from pathlib import Path

GRAPH = Graph(["top"], {"top": ["middle"], "middle": ["bottom"]})


def manifest(layer: str, unzipped: int, zipped: int = 1000, **sizes: int) -> Manifest:
    return Manifest(
        layer=layer,
        version="1.0.0",
        runtime="python3.13",
        architecture="arm64",
        identifier=f"{layer}-python3.13-arm64",
        description="x",
        artifact=Artifact(
            filename="x.zip", sha256="", code_sha256="", zipped=zipped, unzipped=unzipped, files=1
        ),
        inputs=Inputs(digest="", lock="", requirements=[], packages={}),
        distributions=[
            Distribution(
                name=name,
                version="1",
                origin="wheel",
                unzipped=size,
                zipped=size,
                native=0,
                bytecode=0,
                files=1,
                modules=[],
                requires=[],
            )
            for name, size in sizes.items()
        ],
        dropped=[],
        pruned=[],
        bytecode=BytecodeRecord(mode="none", compiled=0),
        audit=AuditRecord(elf_files=0),
        tools={},
        files=[],
    )


def target(layer: Layer, **limits: float) -> Target:
    settings = layer.model_copy(update={"budgets": Budgets.model_validate(limits)})
    return Target("demo", get("python3.13"), "arm64", settings)


def test_over_lambdas_limit_names_who_pulls_the_biggest(layer: Layer) -> None:
    sizes = {"bottom": runtimes.UNZIPPED_LIMIT, "top": 1}
    with pytest.raises(BudgetError) as refused:
        budgets.check_unzipped(target(layer), sizes, GRAPH)
    assert "bottom <- middle <- top" in str(refused.value)
    budgets.check_unzipped(target(layer), {"bottom": runtimes.UNZIPPED_LIMIT}, GRAPH)


def test_a_budget_is_judged_at_its_last_byte(layer: Layer) -> None:
    wanted = target(layer, unzipped=100, zipped=50)
    budgets.check_unzipped(wanted, {"top": 100}, GRAPH)
    budgets.check_zipped(wanted, 50, {"top": 50}, GRAPH)
    with pytest.raises(BudgetError, match="unzipped, budget"):
        budgets.check_unzipped(wanted, {"top": 101}, GRAPH)
    with pytest.raises(BudgetError, match="zipped, budget"):
        budgets.check_zipped(wanted, 51, {"top": 51}, GRAPH)


def test_growth_is_judged_against_the_last_release(layer: Layer) -> None:
    wanted = target(layer, growth=10)
    before = manifest("demo", 1, zipped=100_000, top=100_000)
    budgets.check_zipped(wanted, 110_000, {"top": 110_000}, GRAPH, before)
    with pytest.raises(BudgetError) as refused:
        budgets.check_zipped(wanted, 110_001, {"top": 90_001, "new": 20_000}, GRAPH, before)
    assert "new (added)" in str(refused.value)


def composed(**sizes: int) -> tuple[Config, list[Manifest]]:
    layer: dict[str, Any] = {"description": "x", "version": "1.0.0", "requirements": ["x"]}
    layers = {name: Layer(runtimes=["python3.13"], **layer) for name in sizes}
    config = Config(layers=layers, functions={"work": Function(layers=list(sizes), code="code")})
    return config, [manifest(name, size) for name, size in sizes.items()]


def test_a_function_is_judged_with_all_its_layers_and_its_code(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "handler.py").write_bytes(b"x" * 10)
    half = runtimes.UNZIPPED_LIMIT // 2
    (found,) = budgets.check_functions(*composed(one=half, two=half - 10), tmp_path)
    assert found.unzipped == runtimes.UNZIPPED_LIMIT
    with pytest.raises(BudgetError, match=r"work on python3\.13 arm64: 262\.1 MB"):
        budgets.check_functions(*composed(one=half, two=half - 9), tmp_path)


def test_a_function_whose_layer_was_not_built_is_not_judged(tmp_path: Path) -> None:
    config, manifests = composed(one=1, two=2)
    assert budgets.check_functions(config, manifests[:1], tmp_path) == []

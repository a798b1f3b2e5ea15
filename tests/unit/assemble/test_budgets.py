from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from layersmith.assemble import budgets
from layersmith.assemble.graph import Dependencies
from layersmith.assemble.manifest import (
    Artifact,
    AuditRecord,
    BytecodeRecord,
    Distribution,
    FileRecord,
    Inputs,
    Manifest,
)
from layersmith.base import runtimes
from layersmith.base.runtimes import get
from layersmith.config.models import Budgets, BytecodeMode, Config, Function, Layer, ManagedContents
from layersmith.errors import BudgetError
from layersmith.plan import Target

if TYPE_CHECKING:
    from pathlib import Path

GRAPH = Dependencies(["top"], {"top": ["middle"], "middle": ["bottom"]})


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


def file(distribution: str, size: int, zipped: int = 0, path: str = "data.bin") -> FileRecord:
    path = f"python/{distribution}/{path}"
    return FileRecord(path=path, size=size, zipped=zipped, distribution=distribution)


def test_over_lambdas_limit_names_who_pulls_the_biggest(layer: Layer) -> None:
    files = [file("bottom", runtimes.UNZIPPED_LIMIT), file("top", 1)]
    with pytest.raises(BudgetError) as refused:
        budgets.check(target(layer), files, GRAPH, archive=1)
    assert "bottom <- middle <- top" in str(refused.value)
    budgets.check(target(layer), files[:1], GRAPH, archive=1)


def test_a_budget_is_judged_at_its_last_byte(layer: Layer) -> None:
    wanted = target(layer, unzipped=100, zipped=50)
    budgets.check(wanted, [file("top", 100, 50)], GRAPH, archive=50)
    with pytest.raises(BudgetError, match="unzipped, budget"):
        budgets.check(wanted, [file("top", 101, 50)], GRAPH, archive=50)
    with pytest.raises(BudgetError, match="zipped, budget"):
        budgets.check(wanted, [file("top", 100, 51)], GRAPH, archive=51)


def test_growth_is_judged_against_the_last_release(layer: Layer) -> None:
    wanted = target(layer, growth=10)
    before = manifest("demo", 1, zipped=100_000, top=100_000)
    files = [file("top", 90_001, 90_001), file("new", 20_000, 20_000)]
    budgets.check(wanted, files, GRAPH, archive=110_000, last_release=before)
    with pytest.raises(BudgetError) as refused:
        budgets.check(wanted, files, GRAPH, archive=110_001, last_release=before)
    assert "new (added)" in str(refused.value)


def test_every_limit_that_is_exceeded_is_in_one_report(layer: Layer) -> None:
    wanted = target(layer, unzipped=100, zipped=50, growth=10)
    before = manifest("demo", 1, zipped=10)
    files = [file("top", runtimes.UNZIPPED_LIMIT + 1, 60)]
    with pytest.raises(BudgetError) as refused:
        budgets.check(wanted, files, GRAPH, archive=60, last_release=before)
    kinds = ("more than Lambda takes", "unzipped, budget", "zipped, budget", "grew from")
    messages = [record["message"] for record in refused.value.records()]
    assert len(messages) == len(kinds)
    assert all(kind in message for kind, message in zip(kinds, messages, strict=True))
    assert all(message in str(refused.value) for message in messages)
    assert str(refused.value).count("biggest distributions") == 1


@pytest.mark.parametrize(
    ("others", "fits"),
    [(100, ["none", "only"]), (140, ["only"]), (230, []), (0, [])],
)
def test_bytecode_is_named_where_it_decides(layer: Layer, others: int, fits: list[str]) -> None:
    wanted = target(layer, unzipped=250)
    files = [
        file("top", others),
        file("top", 120, path="a.py"),
        file("top", 100, path="__pycache__/a.cpython-313.pyc"),
    ]
    if others + 220 <= 250:
        budgets.check(wanted, files, GRAPH, archive=1)
        return
    with pytest.raises(BudgetError) as refused:
        budgets.check(wanted, files, GRAPH, archive=1)
    named = [mode for mode in ("none", "only") if f"`bytecode: {mode}`" in str(refused.value)]
    assert named == fits


def test_what_cannot_fit_is_refused_before_there_is_bytecode(layer: Layer) -> None:
    wanted = target(layer, unzipped=1000)
    with pytest.raises(BudgetError, match="`bytecode: none`") as refused:
        budgets.check(wanted, [file("top", 700, path="a.py")], GRAPH)
    assert "at least" in str(refused.value)
    budgets.check(wanted, [file("top", 660, path="a.py")], GRAPH)
    budgets.check(wanted, [file("top", 1000, path="a.py")], GRAPH, mode=BytecodeMode.NONE)
    budgets.check(wanted, [file("top", 2000, path="a.py")], GRAPH, mode=BytecodeMode.ONLY)
    # Without docstrings, hardly anything may be left of a source.
    slim = layer.model_copy(update={"bytecode": BytecodeMode.ONLY, "optimize": 2})
    budgets.check(target(slim, unzipped=1000), [file("top", 10_000, path="a.py")], GRAPH)


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


def test_a_function_that_is_packaged_is_judged_with_its_package(tmp_path: Path) -> None:
    half = runtimes.UNZIPPED_LIMIT // 2
    config, manifests = composed(one=half, two=half - 10)
    packaged = Function(layers=["one", "two"], code="code", package=True)
    config = config.model_copy(update={"functions": {"work": packaged}})
    (tmp_path / "code").mkdir()
    (found,) = budgets.check_functions(config, [*manifests, manifest("work", 10)], tmp_path)
    assert found.unzipped == runtimes.UNZIPPED_LIMIT
    with pytest.raises(BudgetError, match="work on"):
        budgets.check_functions(config, [*manifests, manifest("work", 11)], tmp_path)


def test_a_function_may_have_the_name_of_its_layer(tmp_path: Path) -> None:
    config, manifests = composed(work=100)
    (tmp_path / "code").mkdir()
    (found,) = budgets.check_functions(config, manifests, tmp_path)
    assert found.unzipped == 100


def test_every_function_that_is_too_large_is_named(tmp_path: Path) -> None:
    config, manifests = composed(one=runtimes.UNZIPPED_LIMIT, two=1)
    more = {**config.functions, "again": Function(layers=["one", "two"])}
    (tmp_path / "code").mkdir()
    with pytest.raises(BudgetError) as refused:
        budgets.check_functions(config.model_copy(update={"functions": more}), manifests, tmp_path)
    assert [record["message"].split()[1] for record in refused.value.records()] == ["work", "again"]


def test_a_function_whose_layer_was_not_built_is_not_judged(tmp_path: Path) -> None:
    config, manifests = composed(one=1, two=2)
    assert budgets.check_functions(config, manifests[:1], tmp_path) == []


def test_managed_layers_count_for_a_function_where_their_size_is_known(tmp_path: Path) -> None:
    config, manifests = composed(one=100, two=50)
    (tmp_path / "code").mkdir()
    managed = [ManagedContents(name="geo", unzipped=1000), "other"]
    layers = {
        name: layer.model_copy(update={"managed_layers": managed})
        for name, layer in config.layers.items()
    }
    (found,) = budgets.check_functions(
        config.model_copy(update={"layers": layers}), manifests, tmp_path
    )
    assert (found.unzipped, found.unknown) == (1150, ("other",))
    assert "without other, whose size is not known" in str(found)

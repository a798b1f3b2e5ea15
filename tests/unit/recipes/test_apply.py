"""What recipes change in the settings of a layer, and what they leave alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.config.models import Layer
from layersmith.recipes import book
from layersmith.recipes.apply import apply
from layersmith.recipes.book import RecipeBook

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layersmith.recipes.apply import AppliedRecipes


@dataclass(frozen=True)
class Pin:
    name: str
    version: str = "1.0"
    via: tuple[str, ...] = ("layers.yaml",)
    is_wheel: bool = True


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    monkeypatch.setattr(book, "SHIPPED", tmp_path)
    (tmp_path / "stub").mkdir()

    def one(name: str, text: str) -> None:
        head = "" if "source" in text else 'source = ["a manual"]\n'
        (tmp_path / f"{name}.toml").write_text(head + text, encoding="utf-8")

    return one


def applied(*pins: Pin, provided: tuple[str, ...] = (), **settings: Any) -> tuple[Layer, Any]:
    values = {"description": "x", "version": "1.0.0", "requirements": ["x"], "runtimes": []}
    values |= {"runtimes": ["python3.13"], **settings}
    layer = Layer.model_validate(values)
    found: AppliedRecipes
    changed, found = apply(layer, pins, RecipeBook(), provided)
    return changed, found


COSTLY = '[prune]\n"numbers/fft/" = "no fft"\n[excludes]\ntables = "no tables"\n'


def test_what_costs_nothing_applies_by_itself(write: Callable[[str, str], None]) -> None:
    write("numbers", '[optional]\n"numbers.gui" = "needs a screen"\n' + COSTLY)
    changed, found = applied(Pin("numbers"), Pin("tables", via=("numbers",)))
    (use,) = found.uses
    assert use.optional == {"numbers.gui": "needs a screen"}
    assert not use.taken
    assert not use.losses
    assert changed.excludes == {}


@pytest.mark.parametrize("recipes", ["all", ["numbers"]])
def test_what_costs_something_is_taken_by_layers_yaml(
    write: Callable[[str, str], None], recipes: object
) -> None:
    write("numbers", COSTLY)
    changed, found = applied(Pin("numbers"), Pin("tables", via=("numbers",)), recipes=recipes)
    assert found.uses[0].losses == {"tables": "no tables", "numbers/fft/": "no fft"}
    assert changed.excludes == {"tables": "no tables"}
    assert found.written is not None
    assert found.written.excludes == {}


def test_another_recipe_is_not_taken(write: Callable[[str, str], None]) -> None:
    write("numbers", COSTLY)
    changed, found = applied(Pin("numbers"), Pin("tables", via=("numbers",)), recipes=["tables"])
    assert not found.uses[0].taken
    assert changed.excludes == {}


def test_a_version_out_of_range_gets_nothing_and_a_warning(
    write: Callable[[str, str], None],
) -> None:
    write("numbers", 'versions = ">=2"\nsource = ["a manual"]\n' + COSTLY)
    changed, found = applied(Pin("numbers"), Pin("tables", via=("numbers",)), recipes="all")
    assert found.uses == ()
    assert changed.excludes == {}
    assert "1.0 is locked" in found.warnings[0]


@pytest.mark.parametrize("asker", ["frames", "layers.yaml"])
def test_what_something_else_needs_stays(write: Callable[[str, str], None], asker: str) -> None:
    write("numbers", COSTLY)
    pins = [Pin("numbers"), Pin("tables", via=("numbers", asker)), Pin("frames")]
    changed, found = applied(*pins, recipes="all")
    assert changed.excludes == {}
    assert found.uses[0].withheld == {"tables": f"{asker} needs it"}


def test_what_everybody_does_without_goes(write: Callable[[str, str], None]) -> None:
    write("numbers", COSTLY)
    write("frames", '[excludes]\ntables = "no tables of frames"\n')
    pins = [Pin("numbers"), Pin("tables", via=("numbers", "frames")), Pin("frames")]
    changed, _ = applied(*pins, recipes="all")
    assert changed.excludes == {"tables": "no tables"}


def test_what_only_the_left_out_need_goes_with_them(write: Callable[[str, str], None]) -> None:
    write(
        "client",
        '[stubs.tracer]\npath = "stub"\nreason = "no traces"\n'
        '[stubs.exporter]\npath = "stub"\nreason = "no export"\n',
    )
    pins = [
        Pin("client"),
        Pin("tracer", via=("client", "exporter", "exporter-common")),
        Pin("exporter", via=("client",)),
        Pin("exporter-common", via=("exporter",)),
        Pin("protobuf", via=("exporter-common",)),
        Pin("certifi", via=("client", "exporter")),
    ]
    changed, found = applied(*pins, recipes="all")
    assert set(changed.stubs) == {"tracer", "exporter"}
    assert set(changed.excludes) == {"exporter-common", "protobuf"}
    assert set(found.uses[0].orphans) == {"exporter-common", "protobuf"}
    assert {folder.name for folder in found.stubs.values()} == {"stub"}


def test_a_recipe_of_what_is_left_out_does_nothing(write: Callable[[str, str], None]) -> None:
    write("client", '[excludes]\nserver = "no server"\n')
    write("server", '[excludes]\ncertifi = "no TLS"\n[optional]\n"server.gui" = "no screen"\n')
    pins = [
        Pin("client"),
        Pin("server", via=("client",)),
        Pin("certifi", via=("client", "server")),
    ]
    changed, found = applied(*pins, recipes="all")
    assert [use.name for use in found.uses] == ["client"]
    assert set(changed.excludes) == {"server"}


def test_the_layers_own_keys_win(write: Callable[[str, str], None]) -> None:
    write("numbers", COSTLY + '[stubs.slow]\npath = "stub"\nreason = "no checks"\n')
    pins = [Pin("numbers"), Pin("tables", via=("numbers",)), Pin("slow", via=("numbers",))]
    own = {"tables": {"path": "mine", "reason": "my own"}}
    changed, found = applied(*pins, recipes="all", stubs=own, excludes={"slow": "not here"})
    assert changed.stubs["tables"].path == "mine"
    assert set(changed.stubs) == {"tables"}
    assert changed.excludes == {"slow": "not here"}
    assert found.stubs == {}
    keeping: dict[str, Any] = {"keep-provided": ["tables"]}
    changed, _ = applied(*pins, recipes="all", **keeping)
    assert "tables" not in changed.excludes


def test_what_the_runtime_provides_has_no_recipe(write: Callable[[str, str], None]) -> None:
    write("boto3", '[prune]\n"boto3/docs/" = "no docs"\n')
    _, found = applied(Pin("boto3"), provided=("boto3",), recipes="all")
    assert found.uses == ()


@pytest.mark.parametrize(
    ("settings", "pin", "used"),
    [
        ({}, Pin("numpy"), True),
        ({"lite-blas": False}, Pin("numpy"), False),
        ({"build": {"numpy": {}}}, Pin("numpy"), False),
        ({}, Pin("numpy", is_wheel=False), False),
    ],
)
def test_a_lite_blas_where_nothing_speaks_against_it(
    write: Callable[[str, str], None], settings: dict[str, Any], pin: Pin, used: bool
) -> None:
    write("numpy", 'source = ["a manual"]\nlite-blas = "slower"\n')
    changed, _ = applied(pin, recipes="all", **settings)
    assert changed.lite_blas is used

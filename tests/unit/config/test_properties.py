"""Properties of the loader: whatever is written, it answers with a config or a full report."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from layersmith.config import document, loader, values
from layersmith.config.models import Config, Layer
from layersmith.errors import ConfigError
from pydantic import TypeAdapter, ValidationError

if TYPE_CHECKING:
    from layersmith.config.loader import LoadedConfig

LIMITS = settings(max_examples=50, deadline=None)
"""No deadline: a busy machine is no bug."""

NAMES = st.from_regex(values.NAME_PATTERN, fullmatch=True).filter(lambda text: len(text) < 20)
WORDS = st.sampled_from(
    [
        "3.10",
        "on",
        "010",
        "null",
        "~",
        "1:30",
        "pillow",
        "30MB",
        "10%",
        "",
        "é",
        "a: b",
        "- x",
        "\t",
    ]
)
KEYS = st.sampled_from(
    [info.alias or name for name, info in Layer.model_fields.items()]
    + ["defaults", "layers", "functions", "file", "zipped", "unknown", "on"]
)
ANYTHING = st.recursive(
    WORDS | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | NAMES, inner, max_size=4),
    max_leaves=12,
)
PLACE = re.compile(r"layers\.yaml:(\d+):(\d+): \S")


def load(content: bytes) -> LoadedConfig:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layers.yaml"
        path.write_bytes(content)
        return loader.load(path)


def judge(content: bytes) -> None:
    """Load and, where it is refused, check that every problem has a place in the file."""
    try:
        assert load(content).config.layers
    except ConfigError as refused:
        lines = refused.message.splitlines()
        listed = [line.strip() for line in lines if PLACE.match(line.strip())]
        assert listed
        places = [tuple(map(int, PLACE.match(line).groups())) for line in listed]  # type: ignore[union-attr]
        assert places == sorted(places)
        assert all(line <= content.count(b"\n") + 2 for line, _ in places)


@LIMITS
@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    judge(content)


@LIMITS
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    judge(text.encode("utf-8", "surrogatepass"))


@LIMITS
@given(ANYTHING)
def test_any_yaml(value: Any) -> None:
    judge(yaml.safe_dump(value, allow_unicode=True).encode())


@LIMITS
@given(st.dictionaries(KEYS, ANYTHING, max_size=5), st.dictionaries(KEYS, ANYTHING, max_size=5))
def test_any_layer_and_defaults(layer: dict[str, Any], defaults: dict[str, Any]) -> None:
    good = {"description": "d", "version": "1.0.0", "requirements": ["x"]}
    value = {"defaults": defaults, "layers": {"one": {**good, **layer}}}
    judge(yaml.safe_dump(value, allow_unicode=True, sort_keys=False).encode())


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """Draw what a valid layers.yaml holds."""
    runtimes = st.lists(st.sampled_from(["python3.12", "python3.13"]), min_size=1, unique=True)
    budgets = st.fixed_dictionaries(
        {}, optional={"zipped": st.integers(1, 10**9), "growth": st.floats(0, 100)}
    )
    shared = {
        "strip": st.booleans(),
        "budgets": budgets,
        "environment": st.dictionaries(st.sampled_from("ABC"), st.sampled_from("xyz")),
        "forbid-imports": st.lists(st.sampled_from(["PIL", "numpy"]), max_size=2),
    }
    layer = st.fixed_dictionaries(
        {"description": st.just("d"), "version": st.just("1.0.0"), "requirements": st.just(["x"])},
        optional={"runtimes": runtimes, **shared},
    )
    defaults = draw(st.fixed_dictionaries({"runtimes": runtimes}, optional=shared))
    return {
        "defaults": defaults,
        "layers": draw(st.dictionaries(NAMES, layer, min_size=1, max_size=3)),
    }


@LIMITS
@given(configs())
def test_every_setting_is_the_layers_else_the_defaults(value: dict[str, Any]) -> None:
    loaded = load(yaml.safe_dump(value).encode())
    defaults = value["defaults"]
    for name, layer in loaded.config.layers.items():
        said = value["layers"][name]
        assert layer.runtimes == said.get("runtimes", defaults["runtimes"])
        assert layer.strip == said.get("strip", defaults.get("strip", True))
        assert layer.forbid_imports == said.get(
            "forbid-imports", defaults.get("forbid-imports", [])
        )
        budgets = {**defaults.get("budgets", {}), **said.get("budgets", {})}
        assert layer.budgets.zipped == budgets.get("zipped")
        assert layer.budgets.growth == budgets.get("growth")
        assert layer.environment == {
            **defaults.get("environment", {}),
            **said.get("environment", {}),
        }


@LIMITS
@given(configs())
def test_positions_point_at_the_keys(value: dict[str, Any]) -> None:
    text = yaml.safe_dump(value)
    loaded = load(text.encode())
    lines = text.splitlines()
    for name, said in value["layers"].items():
        for key in said:
            line, column = loaded.position("layers", name, key)
            assert lines[line - 1][column - 1 :].startswith(f"{key}:")


@LIMITS
@given(configs())
def test_loading_is_a_fixed_point(value: dict[str, Any]) -> None:
    config = load(yaml.safe_dump(value).encode()).config
    again = Config.model_validate(config.model_dump(by_alias=True))
    assert again == config


@LIMITS
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x85"), max_size=30))
def test_quoted_text_comes_back_as_it_is(text: str) -> None:
    dumped = yaml.safe_dump({"a": text}, default_style='"', allow_unicode=True, width=10**6)
    node, problems = document.parse(dumped)
    assert problems == []
    assert node is not None
    assert node.plain() == {"a": text}


def agrees(kind: Any, pattern: str, text: str) -> None:
    """Check that a validator accepts exactly what its JSON Schema's pattern accepts."""
    try:
        TypeAdapter(kind).validate_python(text)
        accepted = True
    except ValidationError:
        accepted = False
    # No pattern can say that a number is not zero.
    zero = text.rstrip("BkKMGims ") in {"0", "0.0"}
    assert accepted == (re.match(pattern, text) is not None and not zero)


UNITS = st.sampled_from(
    ["B", "kB", "MB", "GB", "KiB", "MiB", "ms", "s", "%", "M", "mb", "bit", "min"]
)
AMOUNTS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["1", "0", "0.0", "1.5", "12", ".5", "5.", "-1", "1e3", ""]),
    st.sampled_from(["", " ", "  "]),
    UNITS,
)


@LIMITS
@given(AMOUNTS)
def test_amounts_agree_with_the_schema(text: str) -> None:
    agrees(values.Size, values.SIZE_PATTERN, text)
    agrees(values.Duration, values.DURATION_PATTERN, text)
    agrees(values.Percent, values.PERCENT_PATTERN, text)


@LIMITS
@given(st.sampled_from([values.Size, values.Duration]), st.sampled_from(["0", "0.0", "00"]))
def test_nothing_has_a_size_or_duration_of_zero(kind: Any, number: str) -> None:
    for unit in (" B", "GiB", "ms", " s"):
        with pytest.raises(ValidationError):
            TypeAdapter(kind).validate_python(number + unit)


@LIMITS
@given(st.text(alphabet="ab1-_./~\\ \n*?", max_size=8))
def test_texts_agree_with_the_schema(text: str) -> None:
    if "\n" not in text:
        agrees(values.Name, values.NAME_PATTERN, text)
        agrees(values.Glob, values.GLOB_PATTERN, text)
        agrees(values.RelativePath, values.PATH_PATTERN, text)
        agrees(values.ModuleName, values.MODULE_PATTERN, text)

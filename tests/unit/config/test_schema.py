"""The JSON Schema and the reference follow from the models, and say what the loader does."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from layersmith import cli
from layersmith.base.models import docstrings
from layersmith.config import models, schema, trust, values
from layersmith.errors import ConfigError
from layersmith.verbs import schema as verb
from pydantic import TypeAdapter

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

ROOT = Path(__file__).parents[3]
MODELS = [
    one
    for one in {**vars(models), **vars(trust)}.values()
    if isinstance(one, type) and issubclass(one, values.Model) and one is not values.Model
]


def verb_run(*words: str) -> int:
    parser = ArgumentParser()
    cli.furnish(parser, verb)
    return verb.run(parser.parse_args([*words]))


def test_the_committed_files_are_what_the_models_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert verb_run("--check") == 0


def test_a_stale_file_is_named(tmp_path: Path) -> None:
    assert verb_run("--docs", str(tmp_path), "--write") == 0
    assert verb_run("--docs", str(tmp_path), "--check") == 0
    (tmp_path / "layers-yaml.md").write_text("old")
    with pytest.raises(ConfigError, match=r"layers-yaml\.md") as caught:
        verb_run("--docs", str(tmp_path), "--check")
    assert "layers.schema.json" not in caught.value.message
    assert "schema --write" in (caught.value.hint or "")


def test_the_schema_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert verb_run() == 0
    assert json.loads(capsys.readouterr().out) == schema.schema()


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.schema())


def test_layers_yaml_names_the_schema() -> None:
    first = (ROOT / "layers.yaml").read_text("utf-8").splitlines()[0]
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert (ROOT / named).is_file()


def accepts(value: Any) -> bool:
    return jsonschema.Draft202012Validator(schema.schema()).is_valid(value)


@pytest.mark.parametrize("text", [(ROOT / "layers.yaml").read_text("utf-8"), schema.EXAMPLE])
def test_the_schema_accepts_what_the_loader_accepts(text: str) -> None:
    assert accepts(yaml.safe_load(text))


LAYER = {"description": "d", "version": "1.0.0", "requirements": ["x"]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 1.0},
        {"version": "1.0"},
        {"runtimes": ["python2.7"]},
        {"architectures": ["aarch64"]},
        {"budgets": {"zipped": "30Mx"}},
        {"budgets": {"cold_start": "3s"}},
        {"excludes": {"not a name": "because"}},
        {"requirements": "/x"},
        {"unknown": 1},
        {"prune": {"add": ["/absolute"]}},
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(wrong: dict[str, Any]) -> None:
    assert accepts({"layers": {"one": LAYER}})
    assert not accepts({"layers": {"one": {**LAYER, **wrong}}})


def test_the_schema_refuses_names_that_are_none() -> None:
    assert not accepts({"layers": {"Upper": LAYER}})
    assert not accepts({"layers": {}})


FIELDS = [
    pytest.param(model, name, info, id=f"{model.__name__}.{name}")
    for model in MODELS
    for name, info in model.model_fields.items()
]


@pytest.mark.parametrize(("model", "name", "info"), FIELDS)
def test_every_key_is_described_and_its_examples_are_valid(
    model: type[values.Model], name: str, info: FieldInfo
) -> None:
    inner = info.annotation
    described = docstrings(model).get(name) or (inner.__doc__ if isinstance(inner, type) else "")
    assert described
    adapter = TypeAdapter[Any](info.rebuild_annotation())
    for example in info.examples or []:
        adapter.validate_python(example)


def test_the_reference_has_a_section_for_every_key() -> None:
    text = schema.reference()
    for model in MODELS:
        for name, info in model.model_fields.items():
            assert f"### `{info.alias or name}`" in text
    for fence in text.split("```yaml\n")[1:]:
        yaml.safe_load(fence.partition("```")[0].splitlines()[0])


def test_links_of_the_reference_lead_to_headings() -> None:
    text = schema.reference()
    anchors = {
        "".join(c for c in line[3:].lower().replace(" ", "-") if c.isalnum() or c == "-")
        for line in text.splitlines()
        if line.startswith("## ")
    }
    links = {part.partition(")")[0] for part in text.split("](#")[1:]}
    assert links
    assert links <= anchors


def test_every_key_and_every_word_is_described() -> None:
    found = schema.schema()
    for name, definition in {"Config": found, **found["$defs"]}.items():
        for key, value in definition.get("properties", {}).items():
            assert value.get("description"), f"{name}.{key}"
    for choice in choices(found):
        assert all(choice["enumDescriptions"]), choice["enum"]
        assert len(choice["enumDescriptions"]) == len(choice["enum"])


def choices(node: Any) -> list[dict[str, Any]]:
    """Return the parts of a schema that list words."""
    below = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    here = [node] if isinstance(node, dict) and "enum" in node else []
    return here + [found for one in below for found in choices(one)]


def test_named_files_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    layer = "{description: d, version: 1.0.0, runtimes: [python3.13], requirements: [x]%s}"
    good.write_text(f"layers: {{a: {layer % ''}}}\n")
    bad.write_text(f"layers: {{a: {layer % ', colour: red'}}}\n")
    assert cli.main(["schema", "--check", str(good)]) == 0
    assert cli.main(["schema", "--check", str(good), str(bad)]) == 2
    assert "bad.yaml:1:" in capsys.readouterr().err
    assert cli.main(["schema", str(good)]) == 2

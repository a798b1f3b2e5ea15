"""The JSON Schema of layers.yaml, generated from the models, and the reference generated from that.

The reference is docs/layers-yaml.md.
"""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

import yaml

from layersmith.base import runtimes
from layersmith.base.toml import dumps
from layersmith.config.models import MERGED, Config, Contents, LayerSettings
from layersmith.config.values import KINDS, kebab, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""The dialect that pydantic generates."""


ID = "https://json.schemastore.org/layersmith.json"
"""The identifier under which a schema of this name is listed in SchemaStore's catalogue."""

EXPECTED = {
    "array": "Write a list: [first, second], or `- first` and `- second` on lines of their own.",
    "object": "Write a mapping: keys, each with a colon and a value.",
    "string": "Write text; quote what YAML would read as a number, a date or true and false.",
    "integer": "Write a whole number.",
    "boolean": "Write true or false.",
}
"""Type to what editors say of a value of another one, in the place of the type's name.

They say it of everything else about the value, too: words of an enumeration and keys that are not
known are better off with what the editor says by itself.
"""

FEW_KEYS = 4
"""Keys of a mapping that its name in messages can hold."""

EXAMPLE = """\
# yaml-language-server: $schema=docs/layers.schema.json
defaults:
  runtimes: ["python3.12", "python3.13"]
  architectures: [arm64]
  budgets: {unzipped: 250MB, growth: 10%}
  license: Apache-2.0
  regions: [eu-central-1, us-east-1]

layers:
  chromadb-vector:
    description: ChromaDB HTTP client for vector search
    version: 1.0.0
    requirements: ["chromadb-client==1.5.9"]
    forbid-imports: [PIL, onnxruntime]
    budgets: {zipped: 30MB, cold-start: 3s}   # unzipped and growth come from the defaults
  imaging:
    description: Pillow
    version: 2.1.0
    runtimes: ["python3.13"]                  # replaces the list of the defaults
    requirements: [pillow]
    prune:
      keep: [PIL/*.pyi]

functions:
  query:
    layers: [chromadb-vector, imaging]
    memory: 1024
"""

INTRODUCTION = f"""\
# Reference of layers.yaml

This file is generated from the models in build/layersmith/config: change it there and run
`python build/layers.py schema --write`.

```yaml
{EXAMPLE}```

## How it is read

- Every problem of the file comes in one report, with file, line and column; exit code 2.
- Keys are written in kebab-case. Unknown keys and duplicate keys are refused.
- A setting of a layer wins over those of the fragments that it `extends`, and these over
  `defaults`. {", ".join(f"`{key}`" for key in MERGED)}
  are merged key by key; every other setting, lists included, is replaced as a whole.
- Versions that look like numbers are quoted: YAML reads `3.10` as the number 3.1. Words and
  numbers that YAML 1.1 reads as something else than they look like (`on`, `no`, `010`, `1:30`)
  are refused with advice.
- A size is a number of bytes or a number with a unit: `kB`, `MB`, `GB` (powers of 1000), `KiB`,
  `MiB`, `GiB` (powers of 1024). A duration is a number of seconds or has the unit `ms` or `s`.
- Paths are relative to layers.yaml, have forward slashes and stay inside its folder. What they
  name must exist; what `files` names only when the layer is built.
- Anchors and aliases may be used; merge keys (`<<`) and tags are refused.
"""

SECTIONS = (
    ("Config", "Top level"),
    ("Layer", "layers.NAME"),
    ("LayerDefaults", "defaults, and any fragment or layer"),
    ("Fragment", "fragments.NAME"),
    ("Budgets", "budgets"),
    ("TargetBudgets", "budgets.ARCHITECTURE"),
    ("Prune", "prune"),
    ("Licenses", "licenses"),
    ("Stub", "stubs.DISTRIBUTION"),
    ("BuildOptions", "build.DISTRIBUTION"),
    ("RequirementsFile", "requirements and constraints from a file"),
    ("ForeignLayer", "beside, by ARN"),
    ("ManagedContents", "managed-layers, with what they bring"),
    ("Function", "functions.NAME"),
    ("AdvisoryPolicy", "advisories"),
    ("IgnoredAdvisory", "advisories.ignore"),
    ("Attestations", "attestations"),
    ("Signing", "signing"),
)
"""Definition in the schema to the heading of its section, in the order of the page."""

SHARED = {"Layer": LayerSettings, "Fragment": LayerSettings, "Function": Contents}
"""Definition to the keys of it that stand under `defaults`."""

RECIPE_SECTIONS = {
    "RecipeStub": "stubs.DISTRIBUTION",
    "RecipeVariable": "environment.VARIABLE",
    "RecipeBytecode": "bytecode",
    "RecipeProof": "proof",
    "Measured": "measured",
}
"""The same for the parts of a recipe, on the page that describes recipes."""

NOTES = f"""\
From its day on a runtime is deprecated, and `plan`, `build` and `publish` warn. All that is known
of runtimes is in `build/layersmith/base/runtimes.toml`: a new one is one entry there. The
environment variable `{runtimes.VARIABLE}` names another such table.
"""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of layers.yaml."""
    found = of_model(Config, "layers.yaml")
    found = {"$schema": found.pop("$schema"), "$id": ID, **found}
    # What `defaults` says need not be said by every layer.
    found["$defs"]["Layer"]["required"].remove("runtimes")
    return found


def of_model(model: type[BaseModel], title: str) -> dict[str, Any]:
    """Return the JSON Schema of a file that people write.

    Args:
        model: What the file may hold.
        title: What the schema is called.
    """
    found = model.model_json_schema(by_alias=True)
    for definition in (found, *found["$defs"].values()):
        for name, value in definition.get("properties", {}).items():
            _drop_derived_title(name, value)
            _name_keys(value)
            _drop_null(value)
        if "description" in definition:
            definition["description"] = one_line(definition["description"])
    _explain(found)
    return {
        "$schema": DIALECT,
        "title": title,
        **{key: value for key, value in found.items() if key != "title"},
    }


def render(document: dict[str, Any] | None = None) -> str:
    """Return a JSON Schema as it is written, by default that of layers.yaml."""
    return json.dumps(document or schema(), indent=2, ensure_ascii=False) + "\n"


def one_line(text: str) -> str:
    """Return ``text`` without line breaks."""
    return " ".join(text.split())


def _name_keys(value: dict[str, Any]) -> None:
    """Let a mapping refuse keys that do not match; patternProperties alone would let them by."""
    for option in value.get("anyOf", ()):
        _name_keys(option)
    for pattern, inner in value.pop("patternProperties", {}).items():
        value["additionalProperties"] = inner
        title, message = KINDS[pattern]
        value["propertyNames"] = {"title": title, "pattern": pattern, **said(message)}


def _explain(node: Any) -> None:
    """Let editors say in a sentence what is expected wherever a schema names a type only."""
    if isinstance(node, dict):
        kind = node.get("type")
        if node.get("additionalProperties") is False:
            keys = list(node["properties"])
            node["title"] = f"mapping of {', '.join(keys)}" if len(keys) <= FEW_KEYS else "mapping"
        elif isinstance(kind, str) and kind in EXPECTED and "enum" not in node:
            node.setdefault("errorMessage", EXPECTED[kind])
        for inner in node.values():
            _explain(inner)
    elif isinstance(node, list):
        for inner in node:
            _explain(inner)


def _drop_null(value: dict[str, Any]) -> None:
    """Drop the null of a key that may be left out: nobody writes it, and editors would name it."""
    found = value.get("anyOf", [])
    rest = [one for one in found if one != {"type": "null"}]
    if len(rest) == len(found):
        return
    value.pop("default", None)
    if len(rest) > 1:
        value["anyOf"] = rest
        return
    del value["anyOf"]
    value |= {key: one for key, one in rest[0].items() if key not in value}


def _drop_derived_title(name: str, value: dict[str, Any]) -> None:
    """Drop the title that pydantic derives from the name of a field; it says nothing new."""
    title = str(value.get("title", ""))
    if title[:1].isupper() and title.replace(" ", "-").lower() == name:
        del value["title"]
    if "description" in value:
        value["description"] = one_line(value["description"])


def _runtimes() -> Iterator[str]:
    """Yield the table of runtimes."""
    yield from ("## Runtimes", "")
    heads = ("runtime", "operating system", "glibc", "phase", "deprecated on")
    yield f"| {' | '.join(heads)} | no function created from | none updated from |"
    yield f"|{'---|' * (len(heads) + 2)}"
    for one in runtimes.RUNTIMES.values():
        dates = [str(day or "-") for day in (one.deprecated, one.no_create, one.no_update)]
        facts = [one.system.title, ".".join(map(str, one.glibc)), one.phase(datetime.date.min)]
        yield f"| `{one.name}` | {' | '.join(facts + dates)} |"
    yield from ("", *NOTES.splitlines(), "")


def reference() -> str:
    """Return docs/layers-yaml.md."""
    document = schema()
    definitions = {"Config": document, **document["$defs"]}
    sections = [
        "\n".join(_section(heading, name, definitions)) + "\n" for name, heading in SECTIONS
    ]
    return "\n".join([INTRODUCTION, *sections, *_runtimes()])


def of_keys(heading: str, name: str, definitions: dict[str, Any]) -> list[str]:
    """Return the lines of a section that describes the keys of one definition of a TOML file.

    Args:
        heading: Its heading.
        name: The definition.
        definitions: All definitions by name; those that it refers to have no section here.
    """
    return list(_section(heading, name, definitions, "toml"))


def _section(
    heading: str, name: str, definitions: dict[str, Any], language: str = "yaml"
) -> Iterator[str]:
    definition = definitions[name]
    shared = SHARED[name].model_fields if name in SHARED else {}
    elsewhere = [kebab(field) for field in shared]
    yield f"## {heading}"
    yield ""
    yield _markdown(definition["description"])
    if name == "Function":
        yield from ("", f"With `package: true`: {', '.join(f'`{key}`' for key in elsewhere)}.")
    for key, value in definition["properties"].items():
        if key in elsewhere:
            continue
        yield ""
        yield f"### `{key}`"
        yield ""
        yield _facts(key, value, definition, definitions)
        yield ""
        yield _description(value, definitions)
        if examples := value.get("examples"):
            yield ""
            yield f"```{language}"
            for example in examples:
                in_toml = language == "toml"
                yield dumps({key: example}).strip() if in_toml else f"{key}: {_flow(example)}"
            yield "```"


def _description(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "description" in value:
        return _markdown(value["description"])
    return _markdown(definitions[_reference(value)]["description"])


def _markdown(text: str) -> str:
    return text.replace("``", "`")


def _facts(key: str, value: dict[str, Any], owner: dict[str, Any], all_: dict[str, Any]) -> str:
    facts = [_kind(value, all_)]
    if key in owner.get("required", ()):
        facts.append("required")
    elif value.get("default") not in (None, [], "") and not isinstance(value["default"], dict):
        facts.append(f"default `{_flow(value['default'])}`")
    return ", ".join(facts)


def _kind(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Say in words what a schema accepts."""
    if reference := _reference(value):
        return _referenced(reference, definitions)
    for key in ("anyOf", "oneOf"):
        if key in value and "title" not in value:
            options = [one for one in value[key] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(_kind(one, definitions) for one in options))
    if "const" in value or len(value.get("enum", ())) == 1:
        return f"`{value.get('const') or value['enum'][0]}`"
    if "enum" in value:
        return f"one of {', '.join(f'`{one}`' for one in value['enum'])}"
    if value.get("type") == "array":
        if "enum" in value["items"]:
            return f"list of {', '.join(f'`{one}`' for one in value['items']['enum'])}"
        return f"list of {_kind(value['items'], definitions)}"
    if value.get("type") == "object":
        names = value.get("propertyNames", {}).get("title", "text")
        return f"mapping of {names} to {_kind(value['additionalProperties'], definitions)}"
    plain = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "`true` or `false`",
    }
    return str(value.get("title") or plain[value["type"]])


def _referenced(name: str, definitions: dict[str, Any]) -> str:
    if "enum" in definitions[name]:
        return _kind(definitions[name], definitions)
    heading = {**dict(SECTIONS), **RECIPE_SECTIONS}[name]
    anchor = "".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c == "-")
    return f"mapping ([{heading}](#{anchor}))"


def _reference(value: dict[str, Any]) -> str:
    return str(value.get("$ref", "")).removeprefix("#/$defs/")


def _flow(value: Any) -> str:
    """Return ``value`` as YAML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str) and _reads_as_itself(value):
        return value
    return json.dumps(value)


def _reads_as_itself(text: str) -> bool:
    try:
        return bool(yaml.safe_load(f"[{text}]") == [text])
    except yaml.YAMLError:
        return False

"""The JSON Schema of layers.yaml, generated from the models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from layersmith.config.models import Config
from layersmith.config.values import KINDS, said

if TYPE_CHECKING:
    from pydantic import BaseModel

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""The dialect that pydantic generates."""


ID = "https://json.schemastore.org/layersmith.json"
"""The identifier under which a schema of this name is listed in SchemaStore's catalogue."""


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

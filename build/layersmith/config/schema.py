"""The JSON Schema of layers.yaml, generated from the models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from layersmith.config.models import Config
from layersmith.config.values import TITLES

if TYPE_CHECKING:
    from pydantic import BaseModel

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""The dialect that pydantic generates."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of layers.yaml."""
    found = of_model(Config, "layers.yaml")
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
        if "description" in definition:
            definition["description"] = one_line(definition["description"])
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
    for pattern, inner in value.pop("patternProperties", {}).items():
        value["additionalProperties"] = inner
        value["propertyNames"] = {"title": TITLES[pattern], "pattern": pattern}


def _drop_derived_title(name: str, value: dict[str, Any]) -> None:
    """Drop the title that pydantic derives from the name of a field; it says nothing new."""
    title = str(value.get("title", ""))
    if title[:1].isupper() and title.replace(" ", "-").lower() == name:
        del value["title"]
    if "description" in value:
        value["description"] = one_line(value["description"])

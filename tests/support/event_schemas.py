"""The JSON Schema of the functions' events, from what their handlers read.

`PYTHONPATH=lambdas:lambdas/common/src python -m tests.support.event_schemas` writes
docs/functions.schema.json.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from unittest import mock

from vector_common import records
from vector_common.events import Fields
from vector_common.embedding import MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
LAMBDAS = ROOT / "lambdas"
FILE = ROOT / "docs" / "functions.schema.json"
FUNCTIONS = (
    "vector_search",
    "label_validation",
    "merchant_match",
    "session_work",
    "delta_writer",
    "compaction_trigger",
    "session_finish",
)

Schema = dict[str, Any]

FLOAT = 3.4028234663852886e38
"""The largest number of 32 bits."""

VECTOR: Schema = {
    "type": "array",
    "minItems": 1,
    "maxItems": records.MAX_DIMENSION,
    "items": {"type": "number", "minimum": -FLOAT, "maximum": FLOAT},
}
VECTOR_OR_NULL: Schema = {"anyOf": [VECTOR, {"type": "null"}]}
METADATA: Schema = {
    "type": ["object", "null"],
    "maxProperties": records.MAX_METADATA_KEYS,
    "propertyNames": {"minLength": 1, "maxLength": records.MAX_ID, "pattern": r"^(?!#|\$|chroma:)"},
    "additionalProperties": {
        "anyOf": [
            {"type": "string", "maxLength": records.MAX_VALUE},
            {"type": "boolean"},
            {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
            {"type": "number"},
        ]
    },
}
DOCUMENT: Schema = {"type": ["string", "null"], "maxLength": records.MAX_DOCUMENT}
ID: Schema = {"type": "string", "minLength": 1, "maxLength": records.MAX_ID}


def _change(op: Schema, required: list[str], **parts: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {"op": op, "id": ID, **parts},
        "required": ["id", *required],
        "additionalProperties": False,
    }


SESSION: Schema = {
    "type": "object",
    "properties": {
        "address": {"type": "string", "pattern": "^https?://"},
        "tokenReference": {"type": "string"},
    },
}
ITEM: Schema = {
    "type": "object",
    "properties": {
        "function": {"enum": ["vector_search", "label_validation", "merchant_match"]},
        "event": {"type": "object"},
    },
    "required": ["function", "event"],
}

RAW: dict[str, Schema] = {
    "embedding": VECTOR_OR_NULL,
    "text": {"type": ["string", "null"], "minLength": 1, "maxLength": MAX_TEXT},
    "items": {"type": "array", "minItems": 1, "maxItems": 1000, "items": ITEM},
    "collection": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "dimension": {"type": "integer", "minimum": 1, "maximum": records.MAX_DIMENSION},
            "space": {"enum": list(records.SPACES)},
        },
        "required": ["name", "dimension"],
    },
    "records": {
        "type": "array",
        "minItems": 1,
        "items": {
            "anyOf": [
                _change(
                    {"const": "upsert"},
                    ["embedding"],
                    embedding=VECTOR,
                    metadata=METADATA,
                    document=DOCUMENT,
                ),
                _change(
                    {"const": "update"},
                    ["op"],
                    embedding=VECTOR_OR_NULL,
                    metadata=METADATA,
                    document=DOCUMENT,
                ),
                _change({"const": "delete"}, ["op"]),
            ]
        },
    },
}
"""What handlers read by checks of their own, made of the limits that these use."""

NEEDED = {"items", "collection", "records"}
"""Of these, what must be there."""


class Read(Exception):
    """Raised where a handler checks its event."""

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        self.schema = schema


class Recorder(Fields):
    """Reads an event as `Fields`, and keeps what may be in it instead of checking it."""

    def __init__(self, event: Any, place: str = "") -> None:
        super().__init__(event, place)
        self._schema: Schema = {
            "type": "object",
            "properties": {},
            "required": [],
            "additionalProperties": False,
        }

    def text(self, name: str, default: str | None = None, *, limit: int = 512) -> str:
        """Keep a string."""
        self._keep(name, {"type": "string", "minLength": 1, "maxLength": limit}, default)
        return default or ""

    def integer(self, name: str, default: int | None = None, *, low: int, high: int) -> int:
        """Keep an integer."""
        self._keep(name, {"type": "integer", "minimum": low, "maximum": high}, default)
        return low if default is None else default

    def number(self, name: str, default: float | None = None, *, low: float, high: float) -> float:
        """Keep a number."""
        self._keep(name, {"type": "number", "minimum": low, "maximum": high}, default)
        return low if default is None else default

    def flag(self, name: str, *, default: bool) -> bool:
        """Keep true or false."""
        self._keep(name, {"type": "boolean"}, default)
        return default

    def texts(self, name: str, default: list[str] | None = None, *, most: int) -> list[str]:
        """Keep strings."""
        items = {"type": "string", "minLength": 1}
        kind = {"type": "array", "minItems": 1, "maxItems": most, "items": items}
        self._keep(name, kind, default)
        return default or []

    def mapping(self, name: str) -> None:
        """Keep an object."""
        kind = SESSION if name == "session" else {"type": "object"}
        self._schema["properties"][name] = _or_null(kind)

    def raw(self, name: str) -> None:
        """Keep what another check reads."""
        self._schema["properties"][name] = RAW[name]
        if name in NEEDED:
            self._schema["required"].append(name)
        if name == "text":
            # One of the two.
            given = [{"properties": {n: {"not": {"type": "null"}}}} for n in ("embedding", "text")]
            needs = [{"required": ["embedding"]}, {"required": ["text"]}]
            self._schema["oneOf"] = [{**a, **b} for a, b in zip(given, needs, strict=True)]

    def check(self) -> NoReturn:
        """End the handler."""
        raise Read(self._schema)

    def _keep(self, name: str, kind: Schema, default: Any) -> None:
        if default is None:
            self._schema["properties"][name] = kind
            self._schema["required"].append(name)
            return
        said = {} if default in ("", []) or default == float("-inf") else {"default": default}
        self._schema["properties"][name] = {**_or_null(kind), **said}


def _or_null(kind: Schema) -> Schema:
    return {**kind, "type": [kind["type"], "null"]}


def load(name: str) -> Any:
    """The module of a function, as Lambda loads it."""
    spec = importlib.util.spec_from_file_location(f"function_{name}", LAMBDAS / name / "handler.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def event_schema(function: str, loaded: Callable[[str], Any] = load) -> Schema:
    """Return what an event of a function may hold."""
    module = loaded(function)
    try:
        with mock.patch.object(module, "Fields", Recorder):
            module.handler.__wrapped__({})
    except Read as found:
        schema = found.schema
    if function == "session_finish":
        schema["properties"]["session"] = {**SESSION, "required": ["address", "tokenReference"]}
        schema["required"].append("session")
    if function == "compaction_trigger":
        # A schedule's own event has more.
        schema["additionalProperties"] = True
    return schema


def document() -> str:
    """Return the content of docs/functions.schema.json."""
    schemas = {name: event_schema(name) for name in FUNCTIONS}
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Events of the functions, by function",
        "$defs": schemas,
    }
    return json.dumps(whole, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(document(), "utf-8")

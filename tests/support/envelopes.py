"""Reads what a verb printed with --json, and holds it against the schemas in docs/json."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema

SCHEMAS = Path(__file__).parents[2] / "docs" / "json"


@functools.cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    text = (SCHEMAS / f"{name}.schema.json").read_text("utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))


def envelope_of(printed: str) -> dict[str, Any]:
    """Return the envelope that was printed, checked."""
    found: dict[str, Any] = json.loads(printed)
    validator("envelope").validate(found)
    return found


def data_of(printed: str) -> Any:
    """Return the data in an envelope, both checked, the data where its verb has a schema."""
    found = envelope_of(printed)
    if (SCHEMAS / f"{found['verb']}.schema.json").is_file():
        validator(found["verb"]).validate(found["data"])
    return found["data"]

"""Events from the schema that the documentation publishes: it says what the functions take."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import hypothesis
import jsonschema
import pytest
import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vector_common import errors

from tests.support import event_schemas

if TYPE_CHECKING:
    from pathlib import Path

Load = Callable[[str], Any]

SCHEMAS = {name: event_schemas.event_schema(name) for name in event_schemas.FUNCTIONS}
FIELDS = sorted({name for one in SCHEMAS.values() for name in one["properties"]})
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=4),
    st.lists(st.one_of(st.floats(width=32), st.text(max_size=3)), max_size=3),
    st.dictionaries(st.sampled_from(["name", "address", "function", "id"]), st.text(max_size=3)),
)
SHAPES = ("is missing", "is not a field", "must be", "must have", "has unknown keys", "give either")
"""How problems begin that a schema speaks of."""

BEYOND = (
    "with a letter or digit at both ends", "IP address", "plain http", "dimension",
    "EMBEDDER", "not more than match", "that fit 32-bit floats", "begin with ssm:",
    *(f"items[{number}]: " for number in range(4)),  # of the function of an item
)  # fmt: skip
"""What checks of their own find: names, addresses, characters, what fields say of each other."""

Strategy = st.SearchStrategy[Any]


def from_schema(schema: dict[str, Any]) -> Strategy:
    """What a schema allows, as far as those here go; short texts and arrays, small numbers too."""
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of(*map(from_schema, schema["anyOf"]))
    kinds = schema["type"]
    if isinstance(kinds, list):
        return st.one_of(*(from_schema({**schema, "type": kind}) for kind in kinds))
    made: Strategy = {"string": _text, "array": _array, "object": _object, "number": _number}.get(
        kinds, _plain
    )(schema)
    return made


def _plain(schema: dict[str, Any]) -> Strategy:
    low, high = schema.get("minimum"), schema.get("maximum")
    plain = {"null": st.none(), "boolean": st.booleans(), "integer": st.integers(low, high)}
    return plain[schema["type"]]


def _number(schema: dict[str, Any]) -> Strategy:
    bounds = schema.get("minimum"), schema.get("maximum")
    floats = st.floats(*bounds, allow_nan=False, allow_infinity=False)
    return floats | st.sampled_from([0, 1])


def _text(schema: dict[str, Any]) -> Strategy:
    least, most = schema.get("minLength", 0), schema.get("maxLength", 8)
    made = st.text(min_size=least, max_size=min(most, 8)) | st.sampled_from(["abc", "receipts"])
    if "pattern" in schema:
        return made | st.from_regex(schema["pattern"])
    # Now and then one of the longest.
    return made | st.just("x" * most)


def _array(schema: dict[str, Any]) -> Strategy:
    least, most = schema.get("minItems", 0), schema.get("maxItems", 4)
    return st.lists(from_schema(schema["items"]), min_size=least, max_size=min(most, 4))


def _object(schema: dict[str, Any]) -> Strategy:
    more, named = schema.get("additionalProperties"), schema.get("properties", {})
    parts = {name: from_schema(one) for name, one in named.items()}
    needed = {name: parts.pop(name) for name in schema.get("required", [])}
    if named or not isinstance(more, dict):
        made = st.fixed_dictionaries(needed, optional=parts)
        alternatives = schema.get("oneOf", [])
        return made if not alternatives else made.map(_one_of_both)
    return st.dictionaries(_text(schema["propertyNames"]), from_schema(more), max_size=3)


def _one_of_both(event: dict[str, Any]) -> dict[str, Any]:
    """The event with an embedding, or else with a text."""
    if event.get("embedding") is None:
        return {**event, "embedding": None, "text": event.get("text") or "bread"}
    return {**event, "text": None}


many = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
def without_servers(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "fuzzed")
    monkeypatch.setenv("STORAGE_URL", (tmp_path / "store").as_uri())
    monkeypatch.delenv("EMBEDDER", raising=False)
    for name in ("CHROMA_URL", "RESULTS_URL"):
        monkeypatch.delenv(name, raising=False)

    def absent(*_: Any, **__: Any) -> Any:
        raise urllib3.exceptions.ConnectTimeoutError("nobody")

    def token(_: str) -> Any:
        return SimpleNamespace(value="secret")

    monkeypatch.setattr(load("session_finish"), "read_token", token)
    monkeypatch.setattr(load("session_finish"), "_http", SimpleNamespace(request=absent))
    monkeypatch.setattr("vector_common.tokens._read", lambda *_: "{}")
    monkeypatch.setattr("socket.socket.connect", absent)


def test_the_published_schema_is_that_of_the_handlers() -> None:
    assert event_schemas.FILE.read_text("utf-8") == event_schemas.document(), event_schemas.__doc__


@pytest.mark.parametrize("function", event_schemas.FUNCTIONS)
@given(data=st.data())
@many
def test_what_fits_the_schema_is_answered_or_gets_a_named_error(
    load: Load, function: str, data: st.DataObject
) -> None:
    event = data.draw(from_schema(SCHEMAS[function]))
    valid = jsonschema.Draft202012Validator(SCHEMAS[function])
    hypothesis.assume(valid.is_valid(event))
    try:
        load(function).handler(event, None)
    except errors.BadRequest as error:
        shaped = [p for p in error.problems if any(shape in p for shape in SHAPES)]
        assert not [p for p in shaped if not any(known in p for known in BEYOND)], event
    except errors.VectorError as error:
        assert error.status in {401, 404, 409, 413, 502, 503, 507}


@pytest.mark.parametrize("function", event_schemas.FUNCTIONS)
@given(data=st.data())
@many
def test_what_does_not_fit_the_schema_is_a_bad_request(
    load: Load, function: str, data: st.DataObject
) -> None:
    schema = SCHEMAS[function]
    event = data.draw(from_schema(schema))
    broken = {**event, **data.draw(st.dictionaries(st.sampled_from(FIELDS), values, min_size=1))}
    for name in data.draw(st.sets(st.sampled_from(sorted(schema["properties"])))):
        broken.pop(name, None)
    if jsonschema.Draft202012Validator(schema).is_valid(broken):
        return
    with pytest.raises(errors.BadRequest):
        load(function).handler(broken, None)

"""pydantic's validation errors in the words of someone who edits layers.yaml."""

from __future__ import annotations

import re
import types
import typing
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from layersmith.base.runtimes import RUNTIMES
from layersmith.config.document import Problem
from layersmith.config.models import Config
from layersmith.config.values import SEMVER_PATTERN
from layersmith.errors import closest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from layersmith.config.document import Path, YamlNode

WANTED = {
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
}
"""pydantic's error types for a value of the wrong kind."""


VERSION_DEPTH = 3
"""Steps to a layer's version: ``layers``, its name, ``version``; those of stubs lie deeper."""


def problems(error: ValidationError, tree: YamlNode) -> list[Problem]:
    """Return the problems that pydantic found, with their positions in ``tree``."""
    return [_problem(detail, tree) for detail in error.errors(include_url=False)]


def dotted(path: Path) -> str:
    """Return ``layers.imaging.requirements[0]`` for its steps."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _problem(detail: ErrorDetails, tree: YamlNode) -> Problem:
    kind, location = detail["type"], detail["loc"]
    of_key = location[-1:] == ("[key]",)
    path = _in_document(location, tree)
    if kind == "extra_forbidden":
        return Problem(tree.locate(path, key=True), path, _unknown_key(path))
    position = tree.locate(path, key=of_key)
    return Problem(position, path, _message(detail, _node(tree, path), path))


def _in_document(location: tuple[int | str, ...], tree: YamlNode) -> Path:
    """Drop what pydantic adds to a location: the tag of a union's member and ``[key]``."""
    steps: list[str | int] = []
    here: YamlNode | None = tree
    for number, step in enumerate(location):
        below = here.child(step) if here else None
        if below is None and (number + 1 < len(location) or step == "[key]"):
            continue
        if below is None and here is not None and not isinstance(here.value, dict):
            continue
        steps.append(step)
        here = below
    return tuple(steps)


def _node(tree: YamlNode, path: Path) -> YamlNode | None:
    here: YamlNode | None = tree
    for step in path:
        here = here.child(step) if here else None
    return here


def _message(detail: ErrorDetails, node: YamlNode | None, path: Path) -> str:
    kind = detail["type"]
    if kind == "missing":
        return "this key is missing"
    if kind == "value_error":
        return str(detail["msg"]).removeprefix("Value error, ")
    if node is not None and node.value is None:
        return "no value is given"
    if kind == "string_type" and node is not None and _is_number(node.value):
        return f"quote it: YAML reads {node.raw} as a number, write {_quoted(str(node.raw), path)}"
    if kind in WANTED:
        return f"{WANTED[kind]} is expected here" + _advice(kind, node)
    if kind == "enum":
        return f"one of {detail['ctx']['expected']} is expected here"
    if kind == "too_short":
        return "at least one entry is needed"
    if kind == "byte_size":
        return "a size is a number with a unit, e.g. 30MB or 250MiB"
    text = str(detail["msg"])
    return text[:1].lower() + text[1:]


def _advice(kind: str, node: YamlNode | None) -> str:
    if kind == "list_type" and node is not None and isinstance(node.value, str):
        return f": [{node.raw}]"
    return ""


def _quoted(raw: str, path: Path) -> str:
    """Return what to write for a number where a text is expected, such that it is accepted."""
    if len(path) == VERSION_DEPTH and path[-1] == "version":
        parts = raw.split(".")
        whole = ".".join([*parts, "0", "0"][:3])
        return f'"{whole}"' if re.fullmatch(SEMVER_PATTERN, whole) else 'a version, e.g. "1.2.0"'
    if len(path) > 1 and path[-2] == "runtimes":
        name = f"python{raw}"
        return name if name in RUNTIMES else f"one of {', '.join(RUNTIMES)}"
    return f'"{raw}"'


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unknown_key(path: Path) -> str:
    key = str(path[-1])
    if path[:-1] == ("defaults",) and key in _keys_at(("layers", "any")):
        return f"{key} cannot be set under `defaults`; set it in each layer"
    known = _keys_at(path[:-1])
    close = closest(key.lower().replace("_", "-"), known, cutoff=0.5)
    if close:
        return f"unknown key; did you mean {close}?"
    return f"unknown key; known here: {', '.join(known)}"


def _keys_at(path: Path) -> list[str]:
    """Return the keys that the models allow at ``path``."""
    models: list[Any] = [Config]
    for step in path:
        models = [below for model in models for below in _below(model, step)]
    return [
        info.alias or name
        for model in models
        if isinstance(model, type) and issubclass(model, BaseModel)
        for name, info in model.model_fields.items()
    ]


def _below(annotation: Any, step: str | int) -> Iterator[Any]:
    """Yield the types that a value of type ``annotation`` may hold below ``step``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, info in annotation.model_fields.items():
            if step in {name, info.alias}:
                yield from _members(info.annotation)
    elif typing.get_origin(annotation) in {dict, list}:
        yield from _members(typing.get_args(annotation)[-1])


def _members(annotation: Any) -> Iterator[Any]:
    """Yield the types that a union or an Annotated stands for."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _members(typing.get_args(annotation)[0])
    elif origin in {typing.Union, types.UnionType}:
        for member in typing.get_args(annotation):
            yield from _members(member)
    else:
        yield annotation

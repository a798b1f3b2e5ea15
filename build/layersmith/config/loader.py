"""Loads layers.yaml: read, merge the defaults, validate, and report every problem at once.

What pydantic finds is said in the words of someone who edits layers.yaml.
"""

from __future__ import annotations

import re
import types
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from layersmith.base.runtimes import RUNTIMES
from layersmith.config import checks, document
from layersmith.config.document import Problem
from layersmith.config.models import MERGED, Config, Contents
from layersmith.config.values import SEMVER_PATTERN, kebab
from layersmith.errors import ConfigError, closest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic_core import ErrorDetails

    from layersmith.config.document import Position, YamlNode

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

MAX_BYTES = 1_000_000
"""A layers.yaml beyond this was not written for layersmith."""

FILE_NAME = "layers.yaml"


@dataclass(frozen=True)
class LoadedConfig:
    """A valid layers.yaml.

    Attributes:
        config: What it says, with the defaults merged into every layer.
        root: The folder that its paths are relative to, absolute.
        path: The file.
        tree: Its content with positions, with the defaults merged into every layer.
    """

    config: Config
    root: Path
    path: Path
    tree: YamlNode

    def position(self, *path: str | int) -> Position:
        """Return line and column of a key, of the nearest one above it where it is not there.

        A setting that a layer has from ``defaults`` stands there.
        """
        return self.tree.locate(path, key=True)


def load(path: Path) -> LoadedConfig:
    """Read and validate a layers.yaml.

    Args:
        path: The file, or the folder that holds a layers.yaml.

    Raises:
        ConfigError: It cannot be read or is not valid; the message lists every problem with
            file, line and column.
    """
    if path.is_dir():
        path = path / FILE_NAME
    path = path.absolute()
    node, problems = document.parse(_read(path))
    if node is None:
        raise _report(path, problems or [_nothing()])
    tree = with_defaults(node)
    problems = [*problems, *checks.find(tree, path.parent)]
    try:
        config = Config.model_validate(tree.plain(), by_alias=True, by_name=False)
    except ValidationError as error:
        raise _report(path, [*problems, *_translated(error, tree)]) from None
    if problems:
        raise _report(path, problems)
    return LoadedConfig(config, path.parent, path, tree)


def with_defaults(tree: YamlNode) -> YamlNode:
    """Return ``tree`` with what ``defaults`` and fragments say in layers and in packages.

    A setting of the layer wins, then that of the fragment that it extends. The mappings in
    ``MERGED`` are merged key by key; everything else, lists included, is replaced as a whole.
    """
    if not isinstance(tree.value, dict):
        return tree
    value = dict(tree.value)
    for key in ("layers", "functions"):
        group = tree.child(key)
        if group is None or not isinstance(group.value, dict):
            continue
        merged = dict(group.value)
        for name, one in group.value.items():
            for base in document.bases(tree, one) if _takes_defaults(key, one) else ():
                settings = base if key == "layers" else _of_packages(base)
                merged[name] = _merge(settings, merged[name], deep=True)
        value[key] = document.YamlNode(merged, group.position, keys=group.keys)
    return document.YamlNode(value, tree.position, keys=tree.keys)


def _takes_defaults(group: str, node: YamlNode) -> bool:
    if not isinstance(node.value, dict):
        return False
    package = node.child("package")
    return group == "layers" or (package is not None and package.value is True)


def _of_packages(defaults: YamlNode) -> YamlNode:
    """Return what holds for packages of functions, which take their targets from their layers."""
    names = {kebab(name) for name in Contents.model_fields} - {"runtimes", "architectures"}
    value = {key: node for key, node in defaults.value.items() if key in names}
    return document.YamlNode(value, defaults.position, keys=defaults.keys)


def _merge(base: YamlNode, over: YamlNode, *, deep: bool) -> YamlNode:
    value = {**base.value, **over.value}
    for key in MERGED if deep else ():
        low, high = base.child(key), over.child(key)
        if low and high and isinstance(low.value, dict) and isinstance(high.value, dict):
            value[key] = _merge(low, high, deep=False)
    return document.YamlNode(value, over.position, keys={**base.keys, **over.keys})


def _read(path: Path) -> str:
    hint = "layers.yaml is described in docs/layers-yaml.md; --config PATH names another file"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {path.name} in {path.parent}",
            hint="`layersmith init` writes one for what is there; --config PATH names another file",
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path.name} is larger than {MAX_BYTES:,} bytes", hint=hint)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise ConfigError(
            f"{path.name}:{line}:{column}: this is not UTF-8",
            cause=f"byte 0x{content[error.start]:02x} cannot be decoded",
            hint="save the file as UTF-8",
            file=str(path),
            line=line,
            column=column,
        ) from None


def _nothing() -> Problem:
    return document.Problem(document.Position(1, 1), (), "the file is empty: `layers:` is missing")


def _report(path: Path, problems: list[Problem]) -> ConfigError:
    """Make one error of all problems, in the order of the file, each place named once."""
    hint = "docs/layers-yaml.md describes every key"
    lines: dict[tuple[Position, str], ConfigError] = {}
    for problem in sorted(problems, key=lambda one: (one.position, len(one.path))):
        where = dotted(problem.path)
        text = f"{where}: {problem.message}" if where else problem.message
        line, column = problem.position
        error = ConfigError(
            f"{path.name}:{line}:{column}: {text}",
            hint=hint,
            file=str(path),
            line=line,
            column=column,
        )
        lines.setdefault((problem.position, problem.message), error)
    found = list(lines.values())
    if len(found) == 1:
        return found[0]
    listing = "\n  ".join(one.message for one in found)
    return ConfigError(
        f"{path.name} has {len(found)} problems\n  {listing}", hint=hint, parts=found
    )


def _translated(error: ValidationError, tree: YamlNode) -> list[Problem]:
    """Return the problems that pydantic found, with their positions in ``tree``."""
    return [_problem(detail, tree) for detail in error.errors(include_url=False)]


def dotted(path: document.Path) -> str:
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


def _in_document(location: tuple[int | str, ...], tree: YamlNode) -> document.Path:
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


def _node(tree: YamlNode, path: document.Path) -> YamlNode | None:
    here: YamlNode | None = tree
    for step in path:
        here = here.child(step) if here else None
    return here


def _message(detail: ErrorDetails, node: YamlNode | None, path: document.Path) -> str:
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


def _quoted(raw: str, path: document.Path) -> str:
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


def _unknown_key(path: document.Path) -> str:
    key = str(path[-1])
    if path[:-1] == ("defaults",) and key in _keys_at(("layers", "any")):
        return f"{key} cannot be set under `defaults`; set it in each layer"
    known = _keys_at(path[:-1])
    close = closest(key.lower().replace("_", "-"), known, cutoff=0.5)
    if close:
        return f"unknown key; did you mean {close}?"
    return f"unknown key; known here: {', '.join(known)}"


def _keys_at(path: document.Path) -> list[str]:
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

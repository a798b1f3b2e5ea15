"""YAML with a position for every value.

The text is read with PyYAML's node composer and turned into a tree of plain values that remember
their line and column. YAML 1.1 reads some unquoted words as something else than they look like
(``on`` is true, ``010`` is 8, ``1:30`` is 90); such words are refused here, with advice, and so are
duplicate keys, merge keys and tags.

``with_entries`` adds entries to a mapping and touches nothing else: comments and order stay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import yaml

from layersmith.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_NODES = 20_000
"""Values a document may hold once its aliases are followed; beyond it, it is an alias bomb."""

MAX_DEPTH = 40
"""Levels of nesting; layers.yaml needs six."""

DECIMAL = re.compile(r"[-+]?(?:0|[1-9]\d*)")
FLOAT = re.compile(r"[-+]?(?:0|[1-9]\d*)\.\d+|[-+]?(?:0|[1-9]\d*)(?:\.\d*)?[eE][-+]?\d+")

_TAG = "tag:yaml.org,2002:"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path: TypeAlias = "tuple[str | int, ...]"
"""Keys and indexes that lead from the root to a value: ("layers", "imaging", "runtimes", 0)."""


class Position(NamedTuple):
    """Where something stands in a text file, both counted from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """One thing that is wrong with a document."""

    position: Position
    path: Path
    message: str


@dataclass(frozen=True)
class YamlNode:
    """A value and where it stands.

    Attributes:
        value: A dict of nodes by key, a list of nodes, or a str, int, float, bool or None.
        position: Where the value begins.
        raw: The text of a scalar as it is written, without quotes.
        keys: Where each key of a dict begins.
    """

    value: Any
    position: Position
    raw: str | None = None
    keys: dict[str, Position] = field(default_factory=dict)

    def plain(self) -> Any:
        """Return the value without positions."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def child(self, step: str | int) -> YamlNode | None:
        """Return the node below ``step``, or None where there is none."""
        if isinstance(self.value, dict):
            found = self.value.get(step)
            return found if isinstance(found, YamlNode) else None
        if isinstance(self.value, list) and isinstance(step, int) and step < len(self.value):
            item = self.value[step]
            return item if isinstance(item, YamlNode) else None
        return None

    def locate(self, path: Path, *, key: bool = False) -> Position:
        """Return where ``path`` stands: the item or scalar itself, else the key that holds it.

        Args:
            path: Keys and indexes from this node on; as far as it exists, it decides.
            key: Return where the last key stands even if its value is a scalar.
        """
        here, position = self, self.position
        for step in path:
            below = here.child(step)
            if below is None:
                return position
            at_key = here.keys.get(step) if isinstance(step, str) else None
            inner = key or isinstance(below.value, dict | list)
            position = at_key if at_key is not None and inner else below.position
            here = below
        return position


def bases(tree: YamlNode, layer: YamlNode) -> list[YamlNode]:
    """Return what a layer has settings from: its fragments, the nearest first, and the defaults.

    What is unknown or no mapping is left out; a circle ends where it closes.
    """
    found: list[YamlNode] = []
    fragments = tree.child("fragments")
    here: YamlNode | None = layer
    while here is not None and fragments is not None:
        name = here.child("extends")
        here = fragments.child(name.value) if name and isinstance(name.value, str) else None
        if here is None or here in (layer, *found):
            break
        found.append(here)
    defaults = tree.child("defaults")
    return [one for one in (*found, defaults) if one and isinstance(one.value, dict)]


class _TooLarge(Exception):
    """The document is an alias bomb, or nested beyond reason."""


def parse(text: str) -> tuple[YamlNode | None, list[Problem]]:
    """Read a YAML document; the node is None where there is nothing to go on with.

    Args:
        text: The document.
    """
    reader = _Reader()
    try:
        root = yaml.compose(text, Loader=_LOADER)
        node = None if root is None else reader.read(root, ())
    except yaml.YAMLError as error:
        return None, [_syntax_problem(error, text)]
    except (RecursionError, _TooLarge):
        message = "the document is nested too deeply, or its aliases expand without end"
        return None, [Problem(Position(1, 1), (), message)]
    return node, reader.problems


def _syntax_problem(error: yaml.YAMLError, text: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    position = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
    lines = text.splitlines()
    line = lines[position.line - 1] if 0 < position.line <= len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return Problem(position, (), "a tab in the indentation: YAML is indented by spaces")
    if "single document" in str(error):
        return Problem(position, (), "a second document begins here (---); one is expected")
    context = getattr(error, "context", None)
    return Problem(position, (), f"not valid YAML: {what}" + (f" {context}" if context else ""))


class _Reader:
    """Turns PyYAML's nodes into ours and notes what is wrong on the way."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._count = 0

    def read(self, node: Any, path: Path) -> YamlNode:
        """Return our node for PyYAML's ``node``, which stands at ``path``.

        Raises:
            _TooLarge: The limits are passed, as by an alias to one of its own ancestors.
        """
        self._count += 1
        if self._count > MAX_NODES or len(path) > MAX_DEPTH:
            raise _TooLarge
        position = _position(node)
        if isinstance(node, yaml.MappingNode):
            self._check_tag(node, "map", position, path)
            return self._mapping(node, position, path)
        if isinstance(node, yaml.SequenceNode):
            self._check_tag(node, "seq", position, path)
            items = [self.read(item, (*path, n)) for n, item in enumerate(node.value)]
            return YamlNode(items, position)
        return YamlNode(self._scalar(node, position, path), position, raw=node.value)

    def _check_tag(self, node: Any, wanted: str, position: Position, path: Path) -> None:
        if node.tag != _TAG + wanted:
            self._problem(position, path, f"tags such as {node.tag} are not used here; drop it")

    def _problem(self, position: Position, path: Path, message: str) -> None:
        self.problems.append(Problem(position, path, message))

    def _mapping(self, node: Any, position: Position, path: Path) -> YamlNode:
        values: dict[str, YamlNode] = {}
        keys: dict[str, Position] = {}
        for key_node, value_node in node.value:
            where = _position(key_node)
            key = self._key(key_node, where, path)
            if key is None:
                continue
            if key in values:
                message = f"duplicate key; first defined on line {keys[key].line}"
                self._problem(where, (*path, key), message)
                continue
            keys[key] = where
            values[key] = self.read(value_node, (*path, key))
        return YamlNode(values, position, keys=keys)

    def _key(self, node: Any, where: Position, path: Path) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._problem(where, path, "a key must be a single word")
            return None
        if node.tag == f"{_TAG}merge":
            advice = "merge keys (<<) are not used here; put shared settings under `fragments`"
            self._problem(where, path, advice)
            return None
        if node.tag != f"{_TAG}str":
            message = f'YAML does not read the key {node.value} as text; quote it: "{node.value}"'
            self._problem(where, path, message)
            return None
        return str(node.value)

    def _scalar(self, node: Any, position: Position, path: Path) -> Any:
        raw, kind = str(node.value), str(node.tag).removeprefix(_TAG)
        if kind in {"str", "timestamp"}:
            return raw
        if kind == "null":
            return None
        if kind == "bool" and raw.lower() in {"true", "false"}:
            return raw.lower() == "true"
        if kind == "int" and DECIMAL.fullmatch(raw) and len(raw) < 20:
            return int(raw)
        if kind == "float" and FLOAT.fullmatch(raw):
            return float(raw)
        self._problem(position, path, _trap(kind, raw))
        return raw


def _trap(kind: str, raw: str) -> str:
    if kind == "bool":
        truth = "true" if raw.lower() in {"on", "yes", "y"} else "false"
        return f'YAML 1.1 reads {raw} as {truth}; write {truth}, or "{raw}" if the word is meant'
    if kind in {"int", "float"}:
        what = "a number in base 60" if ":" in raw else "another number than it looks like"
        return f'YAML 1.1 reads {raw} as {what}; quote it: "{raw}"'
    return f'YAML does not read {raw} as text; quote it: "{raw}"'


def _position(node: Any) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)


def with_entries(text: str, path: tuple[str, ...], entries: Mapping[str, str], *, file: str) -> str:
    """Return a document with entries added at the end of a mapping, which is made if need be.

    Args:
        text: The document.
        path: Keys that lead to the mapping; all but the last are there.
        entries: What is added, none of which is there.
        file: Name of the document, for messages.

    Raises:
        ConfigError: The mapping, or the one around it, is written in braces or is an alias.
    """
    whole = yaml.compose(text, Loader=yaml.SafeLoader)
    around = _at(whole, path[:-1])
    inner = _at(around, path[-1:])
    node = around if inner is None else inner
    lines = text.splitlines(keepends=True)
    if node is not None and not node.flow_style and node.value:
        end = _last_line(node)
        margin = node.value[0][0].start_mark.column
        deeper = margin + (2 if inner is None else 0)
        added = [_entry(key, why, deeper) for key, why in entries.items()]
        if inner is None:
            added.insert(0, f"{' ' * margin}{path[-1]}:\n")
        if "\r\n" in text:
            added = [line.replace("\n", "\r\n") for line in added]
        if not lines[end].endswith("\n"):
            lines[end] += "\n"
        new = "".join([*lines[: end + 1], *added, *lines[end + 1 :]])
        if _plain(new) == _expected(text, path, entries):
            return new
    line = node.start_mark.line + 1 if node is not None else 1
    raise ConfigError(
        f"{file}:{line}: {'.'.join(path)} cannot be edited here",
        cause="it is written in braces, or shared by an anchor",
        hint="write the layer with one key a line, or add by hand:\n"
        + "".join([f"{path[-1]}:\n", *(_entry(key, why, 2) for key, why in entries.items())]),
    )


def has_mapping(text: str, path: tuple[str, ...]) -> bool:
    """Whether a document has a mapping at a path."""
    return _at(yaml.compose(text, Loader=yaml.SafeLoader), path) is not None


def _at(node: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        found = [value for key, value in node.value if key.value == step]
        if not found or not isinstance(found[0], yaml.MappingNode):
            return None
        node = found[0]
    return node


def _last_line(node: Any) -> int:
    """Return the line, counted from 0, on which the last value within a node ends.

    The end of a block mapping itself lies behind the comments that follow it.
    """
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        key, value = node.value[-1]
        return max(int(key.end_mark.line), _last_line(value))
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _last_line(node.value[-1])
    mark = node.end_mark
    # A block scalar ends at the beginning of the line behind it.
    behind = getattr(node, "style", None) in {"|", ">"} and mark.column == 0
    return int(mark.line) - (1 if behind else 0)


def _entry(key: str, why: str, margin: int) -> str:
    line = yaml.safe_dump({key: why}, width=10_000, allow_unicode=True)
    return " " * margin + line


def _plain(text: str) -> Any:
    node, _ = parse(text)
    return node.plain() if node else None


def _expected(text: str, path: tuple[str, ...], entries: Mapping[str, str]) -> Any:
    whole = _plain(text)
    place = whole
    for step in path:
        place = place.setdefault(step, {})
    place.update(entries)
    return whole

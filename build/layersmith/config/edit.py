"""Adds entries to a mapping of layers.yaml and touches nothing else: comments and order stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from layersmith.config import document
from layersmith.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


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


def has(text: str, path: tuple[str, ...]) -> bool:
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
    node, _ = document.parse(text)
    return node.plain() if node else None


def _expected(text: str, path: tuple[str, ...], entries: Mapping[str, str]) -> Any:
    whole = _plain(text)
    place = whole
    for step in path:
        place = place.setdefault(step, {})
    place.update(entries)
    return whole

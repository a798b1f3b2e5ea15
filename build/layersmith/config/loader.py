"""Loads layers.yaml: read, merge the defaults, validate, and report every problem at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from layersmith.config import checks, document, translate
from layersmith.config.models import MERGED, Config, Contents
from layersmith.config.values import kebab
from layersmith.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.config.document import Position, Problem, YamlNode

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
        raise _report(path, [*problems, *translate.problems(error, tree)]) from None
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
        where = translate.dotted(problem.path)
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

"""What no model can see: files that are named, and layers that functions use together."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from pydantic import ValidationError

from layersmith import runtimes
from layersmith.config.document import Problem
from layersmith.config.models import Layer, RequirementsFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layersmith.config import document
    from layersmith.config.document import Node
    from layersmith.config.models import Config

PYPROJECT = "pyproject.toml"


def find(config: Config | None, tree: Node, root: Path) -> list[Problem]:
    """Return what is wrong beyond the models.

    Args:
        config: The validated configuration; None where validation failed, and then every layer
            that is valid by itself is looked at.
        tree: The document with the defaults merged in.
        root: Folder of layers.yaml, absolute.
    """
    layers = config.layers if config else _valid_layers(tree)
    found = [problem for name, layer in layers.items() for problem in _files(name, layer, root)]
    found += _functions(tree, layers, root)
    return [Problem(tree.locate(path), path, message) for path, message in found]


def _valid_layers(tree: Node) -> dict[str, Layer]:
    node = tree.child("layers")
    layers: dict[str, Layer] = {}
    for name, layer in node.value.items() if node and isinstance(node.value, dict) else ():
        try:
            layers[name] = Layer.model_validate(layer.plain(), by_alias=True, by_name=False)
        except ValidationError:
            continue
    return layers


_Found = tuple["document.Path", str]


def _files(name: str, layer: Layer, root: Path) -> Iterator[_Found]:
    """Judge the files and folders that a layer names."""
    at = ("layers", name)
    if layer.smoke:
        yield from _path(root, layer.smoke, (*at, "smoke"), folder=False)
    for key, setting in (("requirements", layer.requirements), ("constraints", layer.constraints)):
        if isinstance(setting, RequirementsFile):
            yield from _path(root, setting.file, (*at, key, "file"), folder=False)
    for number, package in enumerate(layer.packages):
        path = (*at, "packages", number)
        problems = list(_path(root, package, path, folder=True))
        if not problems and not (root / package / PYPROJECT).is_file():
            problems = [(path, f"{package} holds no {PYPROJECT}")]
        yield from problems
    for distribution, stub in layer.stubs.items():
        yield from _path(root, stub.path, (*at, "stubs", distribution, "path"), folder=True)


def _path(root: Path, given: str, path: document.Path, *, folder: bool) -> Iterator[_Found]:
    what = "folder" if folder else "file"
    try:
        full = (root / given).resolve()
        inside = full.is_relative_to(root.resolve())
        exists = full.is_dir() if folder else full.is_file()
    except (OSError, ValueError):
        yield path, f"{given!r} is not a path"
        return
    if not inside:
        yield path, f"{given} lies outside the folder of layers.yaml"
    elif not exists:
        yield path, f"there is no {what} {given}" + _closest(root, given)


def _closest(root: Path, given: str) -> str:
    parent = (root / given).parent
    names = sorted(child.name for child in parent.iterdir()) if parent.is_dir() else []
    close = difflib.get_close_matches((root / given).name, names, n=1)
    return f"; did you mean {(parent / close[0]).relative_to(root)}?" if close else ""


def _functions(tree: Node, layers: dict[str, Layer], root: Path) -> Iterator[_Found]:
    node, known = tree.child("functions"), tree.child("layers")
    if node is None or not isinstance(node.value, dict):
        return
    names = list(known.value) if known and isinstance(known.value, dict) else []
    for name, function in node.value.items():
        at = ("functions", name)
        for key, folder in (("code", True), ("event", False)):
            given = function.child(key)
            if given is not None and isinstance(given.value, str):
                yield from _path(root, given.value, (*at, key), folder=folder)
        used = function.child("layers")
        if used is not None and isinstance(used.value, list):
            yield from _references(used, (*at, "layers"), names)
            yield from _together(used, (*at, "layers"), layers)


def _references(used: Node, at: document.Path, names: list[str]) -> Iterator[_Found]:
    seen: set[str] = set()
    for number, item in enumerate(used.value):
        if not isinstance(item.value, str):
            continue
        if item.value not in names:
            close = difflib.get_close_matches(item.value, names, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; known: {', '.join(names)}"
            yield (*at, number), f"unknown layer {item.value}{hint}"
        elif item.value in seen:
            yield (*at, number), f"{item.value} is listed twice"
        seen.add(item.value)


def _together(used: Node, at: document.Path, layers: dict[str, Layer]) -> Iterator[_Found]:
    """Judge whether one function can use these layers at once."""
    names = [item.value for item in used.value if isinstance(item.value, str)]
    mine = {name: layers[name] for name in names if name in layers}
    if not mine:
        return
    managed = {name for layer in mine.values() for name in layer.managed_layers}
    count, limit = len(used.value) + len(managed), runtimes.LAYERS_PER_FUNCTION
    if count > limit:
        extra = f" with the managed {', '.join(sorted(managed))}" if managed else ""
        yield at, f"{count} layers{extra}; a function can use {limit} (AWS quota)"
    for key in ("runtimes", "architectures"):
        shared = set.intersection(*(set(getattr(layer, key)) for layer in mine.values()))
        if not shared:
            each = "; ".join(f"{n}: {', '.join(getattr(x, key))}" for n, x in mine.items())
            yield at, f"these layers have none of their {key} in common ({each})"

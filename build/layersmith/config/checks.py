"""What no model can see: files that are named, and layers that functions use together.

Everything here looks at the document and not at the models, so that these problems stand in the
same report as those that the models find.

The handler of a function is looked for in its code as Lambda's runtime client would do it. The
client splits at the last dot, turns slashes into dots, and imports the module from the function's
folder (awslambdaric, bootstrap.py, `_get_handler`).
"""

from __future__ import annotations

import ast
import keyword
import re
from itertools import chain
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from layersmith import repeats
from layersmith.base import runtimes
from layersmith.config import pyproject
from layersmith.config.document import Problem
from layersmith.config.models import Function, LayerSettings
from layersmith.config.values import HANDLER_PATTERN, PATH_PATTERN
from layersmith.errors import closest, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layersmith.config import document
    from layersmith.config.document import YamlNode

_Found = tuple["document.Path", str]

COMPILED = (".pyc", ".so")
"""Suffixes of modules whose names cannot be read from a source."""


def find(tree: YamlNode, root: Path) -> list[Problem]:
    """Return what is wrong beyond the models.

    Args:
        tree: The document with the defaults merged in, valid or not.
        root: Folder of layers.yaml, absolute.
    """
    layers = _mapping(tree.child("layers"))
    found = [problem for name in layers for problem in _files(name, layers[name], root)]
    found += _extends(layers, _mapping(tree.child("fragments")))
    for name, layer in layers.items():
        found += _beside(name, layer, layers)
    for name, function in _mapping(tree.child("functions")).items():
        found += _function(("functions", name), function, layers, root)
        if _is_package(function):
            found += _package(name, function, tree, root)
    found += _path(root, tree.child("recipe-folder"), ("recipe-folder",), folder=True)
    return [Problem(tree.locate(path), path, message) for path, message in found]


def _extends(layers: dict[str, YamlNode], fragments: dict[str, YamlNode]) -> Iterator[_Found]:
    """Judge the names of fragments that layers and other fragments extend."""
    known = list(fragments)
    for key, nodes in (("fragments", fragments), ("layers", layers)):
        for name, node in nodes.items():
            above = _text(node.child("extends"))
            if above is None:
                continue
            at: document.Path = (key, name, "extends")
            if not known:
                yield at, f"there is no fragment {above}: nothing is under `fragments`"
            elif above not in known:
                hint = did_you_mean(above, known, f"known: {', '.join(known)}")
                yield at, f"unknown fragment {above}; {hint}"
            elif key == "fragments" and name in (chain := _chain(above, fragments)):
                yield at, f"{name} extends itself: {' -> '.join((name, *chain))}"


def _chain(name: str, fragments: dict[str, YamlNode]) -> list[str]:
    """Return a fragment and those that it extends, up to the one that comes again."""
    found = [name]
    while name in fragments and (above := _text(fragments[name].child("extends"))):
        found.append(above)
        if found.count(above) > 1:
            break
        name = above
    return found


def _text(node: YamlNode | None) -> str | None:
    return node.value if node is not None and isinstance(node.value, str) else None


def _mapping(node: YamlNode | None) -> dict[str, YamlNode]:
    return node.value if node is not None and isinstance(node.value, dict) else {}


def _texts(node: YamlNode | None) -> Iterator[tuple[int, str]]:
    """Yield the texts of a list with their indexes."""
    for number, item in enumerate(node.value if node and isinstance(node.value, list) else []):
        if isinstance(item.value, str):
            yield number, item.value


def _files(name: str, layer: YamlNode, root: Path) -> Iterator[_Found]:
    """Judge the files and folders that a layer names."""
    at: document.Path = ("layers", name)
    yield from _path(root, layer.child("smoke"), (*at, "smoke"), folder=False)
    yield from _contents(at, layer, root)
    packages = layer.child("packages")
    for number, package in _texts(packages):
        path = (*at, "packages", number)
        problems = list(
            _path(root, packages.child(number) if packages else None, path, folder=True)
        )
        if not problems and not (root / package / pyproject.NAME).is_file():
            problems = [(path, f"{package} holds no {pyproject.NAME}")]
        yield from problems
    yield from _modules(layer, (*at, "modules"), root)
    for place, source in _mapping(layer.child("files")).items():
        # They are often the output of another build: whether they exist is for `build` to say.
        yield from _path(root, source, (*at, "files", place), folder=None)


def _contents(at: document.Path, layer: YamlNode, root: Path) -> Iterator[_Found]:
    """Judge what a layer and the package of a function name alike."""
    for key in ("requirements", "constraints"):
        given = layer.child(key)
        for path, what in _path(root, given, (*at, key), folder=False):
            yield path, f"{what}; a list is written [{given.value if given else ''}]"
        file = _mapping(given).get("file")
        yield from _path(root, file, (*at, key, "file"), folder=False)
        yield from _project(root, given, (*at, key))
    for distribution, stub in _mapping(layer.child("stubs")).items():
        path = (*at, "stubs", distribution, "path")
        yield from _path(root, stub.child("path"), path, folder=True)


def _modules(layer: YamlNode, at: document.Path, root: Path) -> Iterator[_Found]:
    """Judge the code that becomes modules of the layer."""
    names = [one for one in _setting(layer, "runtimes") if one in runtimes.RUNTIMES]
    stdlib = {one for name in names for one in runtimes.stdlib(runtimes.get(name))}
    modules = layer.child("modules")
    seen: dict[str, str] = {}
    for number, given in _texts(modules):
        path, name = (*at, number), PurePosixPath(given).name
        folder = not name.endswith(".py") or given.endswith("/")
        found = list(_path(root, modules.child(number) if modules else None, path, folder=folder))
        yield from found
        if found or not re.match(PATH_PATTERN, given):
            continue
        name = name if folder else name.removesuffix(".py")
        here = root / given
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("__"):
            yield path, f"{given} cannot be imported: {name!r} is not the name of a module"
        elif name in stdlib:
            yield path, f"{given} would hide the module {name} of Python's standard library"
        elif name in seen:
            yield path, f"{seen[name]} and {given} are both the module {name}"
        elif folder and not any(here.rglob("*.py")):
            yield path, f"{given} holds no Python module"
        elif folder and (here / pyproject.NAME).is_file() and not (here / "__init__.py").is_file():
            yield path, f"{given} has a {pyproject.NAME}; list it under `packages`"
        seen.setdefault(name, given)


def _project(root: Path, given: YamlNode | None, at: document.Path) -> Iterator[_Found]:
    """Judge groups and extras, which only a pyproject.toml has, and only requirements use."""
    asked = {
        key: [(number, canonicalize_name(text)) for number, text in _texts(given.child(key))]
        for key in ("groups", "extras")
        if given is not None
    }
    file = _mapping(given).get("file", given)
    if file is None or not isinstance(file.value, str):
        return
    if not pyproject.is_project(file.value):
        for key in (key for key, names in asked.items() if names):
            yield (*at, key), f"only a {pyproject.NAME} has {key}, and {file.value} is not one"
    elif at[-1] == "constraints":
        what = f"{file.value} asks for distributions; name it under `requirements`, its lock here"
        yield at, what
    else:
        groups, extras = ([name for _, name in names] for names in asked.values())
        for key, missing in pyproject.unknown(root / file.value, groups, extras).items():
            for number, name in asked[key]:
                if name in missing:
                    yield (*at, key, number), missing[name]


def _path(
    root: Path, node: YamlNode | None, path: document.Path, *, folder: bool | None
) -> Iterator[_Found]:
    """Judge a path; ``folder`` is None where it need not exist."""
    given = node.value if node else None
    if not isinstance(given, str) or not re.match(PATH_PATTERN, given):
        return
    what = "folder" if folder else "file"
    try:
        full = (root / given).resolve()
        inside = full.is_relative_to(root.resolve())
        repeats.saw(full)
        exists = folder is None or (full.is_dir() if folder else full.is_file())
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
    close = closest((root / given).name, names)
    return f"; did you mean {(parent / close).relative_to(root)}?" if close else ""


def _beside(name: str, layer: YamlNode, layers: dict[str, YamlNode]) -> Iterator[_Found]:
    """Judge the layers that one layer needs beside it."""
    at: document.Path = ("layers", name, "beside")
    if layer.child("beside") is None:
        return
    others = [other for other in layers if other != name]
    yield from _references(layer.child("beside"), at, others)
    for number, used in _texts(layer.child("beside")):
        for key in ("runtimes", "architectures"):
            mine, there = _setting(layer, key), _setting(layers.get(used, layer), key)
            lacking = [one for one in mine if one not in there]
            if lacking and there:
                yield (*at, number), f"{used} is not built for the {key} {', '.join(lacking)}"


def _function(
    at: document.Path, function: YamlNode, layers: dict[str, YamlNode], root: Path
) -> Iterator[_Found]:
    for key, folder in (("code", True), ("event", False)):
        yield from _path(root, function.child(key), (*at, key), folder=folder)
    yield from _handler(at, function, root)
    used = [name for _, name in _texts(function.child("layers"))]
    yield from _references(function.child("layers"), (*at, "layers"), list(layers))
    yield from _together((*at, "layers"), used, layers)


def _is_package(function: YamlNode) -> bool:
    package = function.child("package")
    return package is not None and package.value is True


def _package(name: str, function: YamlNode, tree: YamlNode, root: Path) -> Iterator[_Found]:
    """Judge what the package of a function is built from, and for which targets."""
    at: document.Path = ("functions", name)
    layers = _mapping(tree.child("layers"))
    yield from _contents(at, function, root)
    if name in layers:
        yield at, f"a layer is called {name}, too; the files of a package are named as a layer's"
    code = function.child("code")
    if code and isinstance(code.value, str) and (root / code.value).resolve() == root.resolve():
        yield (*at, "code"), "the folder of layers.yaml, which dist/ and locks/ are in, is not code"
    used = [layers[one] for _, one in _texts(function.child("layers")) if one in layers]
    for key in ("runtimes", "architectures"):
        mine, each = _texts(function.child(key)), [_setting(one, key) for one in used]
        lacking = [one for _, one in mine if any(there and one not in there for there in each)]
        if lacking:
            yield (*at, key), f"not all of its layers are built for {', '.join(lacking)}"
    defaults = tree.child("defaults")
    if not used and not any(one and one.child("runtimes") for one in (function, defaults)):
        yield at, "`runtimes` is missing: it has no layers, and `defaults` sets none"


def _handler(at: document.Path, function: YamlNode, root: Path) -> Iterator[_Found]:
    """Judge a handler that is named, or packaged, against the code, which `_path` judges."""
    code, handler = (
        node.value if (node := function.child(key)) else None for key in ("code", "handler")
    )
    if handler is None and _is_package(function):
        handler = Function.model_fields["handler"].default
    if not isinstance(handler, str) or not re.match(HANDLER_PATTERN, handler):
        return
    if not isinstance(code, str):
        yield (*at, "handler"), "a handler is looked for in `code`, which is missing"
    elif (root / code).is_dir() and (found := handler_problem(root / code, handler)):
        yield (*at, "handler"), found


def _references(used: YamlNode | None, at: document.Path, names: list[str]) -> Iterator[_Found]:
    seen: set[str] = set()
    for number, name in _texts(used):
        if name not in names:
            hint = did_you_mean(name, names, f"known: {', '.join(names)}")
            yield (*at, number), f"unknown layer {name}; {hint}"
        elif name in seen:
            yield (*at, number), f"{name} is listed twice"
        seen.add(name)


def _together(at: document.Path, used: list[str], layers: dict[str, YamlNode]) -> Iterator[_Found]:
    """Judge whether one function can use these layers at once."""
    mine = {name: layers[name] for name in used if name in layers}
    for name, node in mine.items():
        lacking = [one for _, one in _texts(node.child("beside")) if one not in used]
        if lacking:
            yield at, f"{name} needs {', '.join(lacking)} beside it; list it here, too"
    managed = sorted({one for node in mine.values() for one in _managed(node)})
    count, limit = len(used) + len(managed), runtimes.LAYERS_PER_FUNCTION
    if count > limit:
        extra = f" with the managed {', '.join(managed)}" if managed else ""
        yield at, f"{count} layers{extra}; a function can use {limit} (AWS quota)"
    for key in ("runtimes", "architectures"):
        each = {name: _setting(node, key) for name, node in mine.items()}
        if each and all(each.values()) and not set.intersection(*map(set, each.values())):
            listed = "; ".join(f"{name}: {', '.join(values)}" for name, values in each.items())
            yield at, f"these layers have none of their {key} in common ({listed})"


def _managed(layer: YamlNode) -> Iterator[str]:
    """Yield the names of the managed layers beside a layer."""
    node = layer.child("managed-layers")
    for one in node.value if node and isinstance(node.value, list) else ():
        name = one.child("name") if isinstance(one.value, dict) else one
        if name and isinstance(name.value, str):
            yield name.value


def _setting(layer: YamlNode, key: str) -> list[str]:
    """Return the texts of a setting, or those of its default where it is not there."""
    node = layer.child(key)
    if node is None:
        default = LayerSettings.model_fields[key.replace("-", "_")].default
        return list(default) if isinstance(default, list) else []
    return [text for _, text in _texts(node)]


def handler_problem(code: Path, handler: str) -> str | None:
    """Return why a handler is not found in a folder; None where it is, or cannot be judged.

    Args:
        code: The folder, which becomes /var/task.
        handler: Such as ``src/app.lambda_handler``, in a form that layers.yaml accepts.
    """
    module, _, name = handler.rpartition(".")
    path = code.joinpath(*module.replace("/", ".").split("."))
    source = next(filter(_is_file, (path / "__init__.py", path.with_name(f"{path.name}.py"))), None)
    if source is None:
        compiled = path.parent.glob(f"{path.name}.*") if path.parent.is_dir() else ()
        if any(one.suffix in COMPILED for one in compiled):
            return None
        return f"there is no {path.relative_to(code).as_posix()}.py in {code.name}{_near(code)}"
    try:
        tree = ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None  # The proof says what the runtime's own Python makes of it.
    names = set(_defined(tree.body))
    if name in names or names & {"*", "__getattr__"}:
        return None
    close = closest(name, names)
    hint = f"; did you mean {module}.{close}?" if close else ""
    return f"{source.relative_to(code).as_posix()} does not define {name}{hint}"


def _is_file(path: Path) -> bool:
    repeats.saw(path)
    return path.is_file()


def _near(code: Path) -> str:
    """Name the functions that look like handlers: those that take an event and a context."""
    found = []
    for path in sorted(chain(code.glob("*.py"), code.glob("*/*.py"))):
        try:
            body = ast.parse(path.read_bytes()).body
        except (OSError, SyntaxError, ValueError):
            continue
        module = path.relative_to(code).with_suffix("").as_posix()
        found += [
            f"{module}.{one.name}"
            for one in body
            if isinstance(one, ast.FunctionDef)
            and len(one.args.args) == 2
            and one.args.args[0].arg in {"event", "_event"}
        ]
    return f"; `handler` may be {' or '.join(found[:3])}" if found else ""


def _defined(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements of a module bind, ``*`` for what an import hides."""
    for one in body:
        match one:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield one.name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (alias.asname or alias.name.partition(".")[0] for alias in names)
            case _:
                yield from _bound(one)


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Yield what assignments bind, and what stands in the blocks of if, try, with and loops."""
    for part in ast.iter_child_nodes(statement):
        if isinstance(part, ast.stmt):
            yield from _defined([part])
        elif isinstance(part, ast.ExceptHandler | ast.match_case):
            yield from _defined(part.body)
        else:
            yield from (
                node.id
                for node in ast.walk(part)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            )

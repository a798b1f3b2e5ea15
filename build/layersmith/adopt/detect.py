"""Looks at a repository: which functions there are, what they need, and which layers follow."""

from __future__ import annotations

import ast
import os
import re
from collections import Counter, defaultdict
from dataclasses import replace
from functools import reduce
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from layersmith.adopt import projects, services
from layersmith.adopt.models import FoundLayer, FoundRepository, Notice, kebab, unique
from layersmith.base import runtimes
from layersmith.errors import LayersmithError
from layersmith.lock import configuration, teamlock

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from packaging.specifiers import SpecifierSet

    from layersmith.adopt.models import FoundFunction, FoundProject
    from layersmith.adopt.services import Service
    from layersmith.base.runtimes import Runtime

DEPTH = 4
"""Levels of folders that are looked at."""

SKIPPED = {"node_modules", "dist", "build", "venv", "env", "__pycache__", "cdk.out", "target"}
"""Folders that hold what others wrote or what a build made; hidden ones are skipped as well."""

ASIDE = {"test", "tests", "docs", "doc", "examples", "scripts", "tools", "dev"}
"""Folders whose requirements no function has, where no template says which ones it has."""

UNREAD = {
    r"(.*/)?setup\.(py|cfg)": b"install_requires",
    r"(.*/)?(pixi\.toml|environment\.ya?ml)": b"dependencies",
    r"(.*/)?requirements[\w.-]*\.(txt|in)|(.*/)?requirements/[\w.-]+\.(txt|in)": b"",
}
"""Files that ask for requirements in ways that are not read here, and what such a file holds."""

ELSEWHERE = {
    r".*\.tf": rb"aws_lambda_function\b|terraform-aws-modules/lambda/",
    r"(.*/)?cdk\.json": rb"\bapp\b",
}
"""Files of Terraform and the CDK, and what one with functions holds; they are not read either."""

DEFAULT_ARCHITECTURE = "arm64"


def detect(root: Path) -> FoundRepository:
    """Return what a repository needs as layers.

    Args:
        root: Its folder, absolute.
    """
    files = list(_files(root))
    found = FoundRepository()
    read = [services.read(path, root) for path in files if services.is_service(path.name)]
    for service in read:
        found.notices += service.notices
    known = _projects(files, root, found.notices)
    found.notices += _unread(files, root, known.keys())
    locks = {
        path.parent.relative_to(root).as_posix(): path.relative_to(root).as_posix()
        for path in files
        if teamlock.is_lock(path.name)
    }
    functions = _named(function for service in read for function in service.functions)
    try:
        configuration.refuse_deciding(root)
    except LayersmithError as problem:
        found.notices.append(Notice("uv's configuration", f"{problem.message}; {problem.hint}"))
    gathered = _Layers(root, known, found.notices)
    for function in functions:
        gathered.add_function(function)
    if not functions:
        gathered.add_all()
    gathered.add_unused(read)
    found.layers = [replace(one, constraints=_above(one.file, locks)) for one in gathered.made()]
    used = {name for layer in found.layers for name in layer.functions}
    found.functions = [one for one in functions if one.name in used]
    for one in functions:
        if one.name not in used:
            found.notices.append(Notice(one.file, f"{one.resource} needs no layer: left out"))
    return found


def _files(root: Path) -> Iterable[Path]:
    """Yield the files of a repository, sorted, without what others wrote."""
    for folder, below, names in os.walk(root):
        here = Path(folder)
        depth = len(here.relative_to(root).parts)
        below[:] = sorted(
            name
            for name in below
            if depth < DEPTH and name not in SKIPPED and not name.startswith(".")
        )
        yield from (here / name for name in sorted(names))


def _unread(files: Iterable[Path], root: Path, known: Collection[str]) -> Iterable[Notice]:
    """Yield what is not read: functions, and requirements where no file beside it is read."""
    for path in files:
        inner = path.relative_to(root)
        for pattern, held in ELSEWHERE.items():
            if re.fullmatch(pattern, inner.as_posix()) and re.search(held, _bytes(path)):
                what = (
                    "its functions are not read: correct runtimes and architectures in layers.yaml"
                )
                yield Notice(inner.as_posix(), what)
        folder = inner.parents[1 if inner.parent.name == "requirements" else 0]
        if ASIDE & set(inner.parts) or folder.as_posix() in known or path.name in projects.KNOWN:
            continue
        for pattern, held in UNREAD.items():
            if re.fullmatch(pattern, inner.as_posix()) and held in _bytes(path):
                what = "is not read: list what it asks for under `requirements` of a layer"
                yield Notice(inner.as_posix(), what)


def _bytes(path: Path) -> bytes:
    """Return what a file holds; nothing of one that cannot be read."""
    try:
        return path.read_bytes() if path.is_file() else b""
    except OSError:
        return b""


def _projects(
    files: Iterable[Path], root: Path, notices: list[Notice]
) -> dict[str, list[FoundProject]]:
    """Return by folder what asks for requirements, that of the team's lock first."""
    found: dict[str, list[FoundProject]] = defaultdict(list)
    names = {path.relative_to(root).as_posix() for path in files}
    for path in sorted(map(Path, names)):
        if path.name in projects.KNOWN and (one := projects.read(root / path, root, notices)):
            found[one.folder].append(one)
    for folder, several in found.items():
        locked = {
            made_from
            for lock, made_from in projects.LOCKS.items()
            if (PurePosixPath(folder) / lock).as_posix() in names
        }
        order = list(projects.KNOWN)
        several.sort(
            key=lambda one: (
                PurePosixPath(one.file).name not in locked,
                order.index(PurePosixPath(one.file).name),
            )
        )
    return found


def _named(functions: Iterable[FoundFunction]) -> list[FoundFunction]:
    taken: set[str] = set()
    return [replace(one, name=unique(one.name, taken)) for one in functions]


def _above(file: str, locks: dict[str, str]) -> str | None:
    """Return the lock in the folder of a file, or the nearest one above it."""
    return next(
        (locks[one.as_posix()] for one in PurePosixPath(file).parents if one.as_posix() in locks),
        None,
    )


class _Layers:
    """Gathers layers: one for each file of requirements or local package that is used."""

    def __init__(
        self, root: Path, known: dict[str, list[FoundProject]], notices: list[Notice]
    ) -> None:
        self.root = root
        self.known = known
        self.notices = notices
        self.users: dict[tuple[str, bool], list[FoundFunction]] = {}
        self.by_file = {one.file: one for several in known.values() for one in several}
        self.packages = {
            one.folder: one
            for several in known.values()
            for one in several
            if one.package and one.folder != "."
        }

    def add_function(self, function: FoundFunction) -> None:
        """Note what a function uses."""
        mine = self._asked(function.code or ".")
        if mine:
            self._use(mine, function, whole=False)
        for folder in function.uses:
            for one in self.known.get(folder, [])[:1]:
                self._use(one, function, whole=False)
        brought = set(mine.packages if mine else ())
        imported = self._imports(function)
        for folder, package in self.packages.items():
            own = function.code and PurePosixPath(function.code).is_relative_to(folder)
            if not own and folder not in brought and imported & set(package.modules):
                self._use(package, function, whole=True)

    def add_all(self) -> None:
        """Note everything: there are no functions that say what they use."""
        for folder, several in self.known.items():
            if ASIDE & set(PurePosixPath(folder).parts):
                continue
            one = several[0]
            if folder in self.packages:
                self.users.setdefault((self.packages[folder].file, True), [])
            elif one.asked or one.packages:
                self.users.setdefault((one.file, False), [])

    def add_unused(self, read: Sequence[Service]) -> None:
        """Say what no layer was made of."""
        layers = {folder for service in read for folder in service.layers.values()}
        for folder in sorted(layers - self.known.keys()):
            self.notices.append(Notice(folder, "a layer without requirements: left out"))
        made = {file for file, _ in self.users}
        brought = {folder for file in made for folder in self.by_file[file].packages}
        for folder, several in self.known.items():
            if folder in brought or any(one.file in made for one in several):
                continue
            if any(one.asked or one.package for one in several):
                what = "no function needs it as a layer: left out"
                self.notices.append(Notice(several[0].file, what))

    def made(self) -> list[FoundLayer]:
        """Return the layers, each with its own name."""
        taken: set[str] = set()
        same: dict[tuple[object, ...], FoundLayer] = {}
        for (file, whole), users in self.users.items():
            one = self.by_file[file]
            layer = self._layer(one, users, whole=whole)
            if layer is None:
                continue
            text = (self.root / file).read_bytes()
            key = (whole, text if not whole else file, layer.packages)
            if key in same:
                same[key] = _merged(same[key], layer)
            else:
                same[key] = replace(layer, name=unique(layer.name, taken))
        return _few(list(same.values()), taken)

    def _use(self, one: FoundProject, function: FoundFunction, *, whole: bool) -> None:
        users = self.users.setdefault((one.file, whole), [])
        if function not in users:
            users.append(function)

    def _asked(self, folder: str) -> FoundProject | None:
        """Return what asks for requirements in a folder, or in the nearest one above it."""
        path = PurePosixPath(folder)
        for here in (path, *path.parents):
            for one in self.known.get(here.as_posix(), []):
                if one.asked or one.packages:
                    return one
        return None

    def _layer(
        self, one: FoundProject, users: Sequence[FoundFunction], *, whole: bool
    ) -> FoundLayer | None:
        names = tuple(dict.fromkeys(f.runtime for f in users)) or (_best(one.runtimes),)
        machines = tuple(dict.fromkeys(f.architecture for f in users)) or (DEFAULT_ARCHITECTURE,)
        targets = [(runtimes.get(name), machine) for name in names for machine in machines]
        asked = [(target, projects.asked_on(one.lines, *target)) for target in targets]
        kept = () if whole else _keep(asked)
        brought = all(each.keys() <= on.provided - set(kept) for (on, _), each in asked)
        if not whole and not one.packages and brought:
            every = sorted({name for _, each in asked for name in each})
            what = (
                f"the runtime brings {', '.join(every)}"
                if every
                else f"nothing is asked for on {' or '.join(names)}"
            )
            self.notices.append(Notice(one.file, f"{what}: it needs no layer"))
            return None
        title = one.package if whole else PurePosixPath(one.folder).name or one.title
        everywhere = set.intersection(*(set(each) for _, each in asked))
        local = [one] if whole else [self.packages[p] for p in one.packages if p in self.packages]
        return FoundLayer(
            name=kebab(title or self.root.name),
            file=one.file,
            requirements=() if whole else one.requirements,
            asked=() if whole else tuple(sorted(everywhere)),
            # The [tool.uv.sources] of a pyproject.toml that is named bring its local packages.
            packages=(one.folder,)
            if whole
            else one.packages
            if one.requirements is not None
            else (),
            package_names=tuple(package.package or "" for package in local),
            keep_provided=kept,
            runtimes=names,
            architectures=machines,
            functions=tuple(f.name for f in users),
        )

    def _imports(self, function: FoundFunction) -> set[str]:
        """Return the top-level modules that a function's code imports."""
        if function.code:
            paths = sorted((self.root / function.code).rglob("*.py"))
        else:
            module = (function.handler or "").rpartition(".")[0].replace(".", "/")
            folder = (self.root / function.file).parent
            paths = [path for path in [folder / f"{module}.py"] if path.is_file()]
        return {name for path in paths for name in _imported(path)}


def _few(layers: list[FoundLayer], taken: set[str]) -> list[FoundLayer]:
    """Return the layers, the local packages in one where a function would use too many."""
    counted = Counter(name for layer in layers for name in layer.functions)
    if all(count <= runtimes.LAYERS_PER_FUNCTION for count in counted.values()):
        return layers
    local = [layer for layer in layers if layer.packages and layer.requirements == ()]
    whole = reduce(_merged, local)
    whole = replace(
        whole,
        name=unique("shared", taken),
        packages=tuple(folder for layer in local for folder in layer.packages),
        package_names=tuple(name for layer in local for name in layer.package_names),
        functions=tuple(dict.fromkeys(whole.functions)),
    )
    return [*(layer for layer in layers if layer not in local), whole]


def _best(supported: Sequence[str]) -> str:
    """Return the default runtime, or the newest one where that is not supported."""
    general = [name for name in supported if not runtimes.get(name).preview]
    return runtimes.DEFAULT if runtimes.DEFAULT in general or not general else general[-1]


def _merged(one: FoundLayer, other: FoundLayer) -> FoundLayer:
    """Return the layer of two files that ask for the same."""
    return replace(
        one,
        asked=tuple(name for name in one.asked if name in other.asked),
        runtimes=tuple(dict.fromkeys((*one.runtimes, *other.runtimes))),
        architectures=tuple(dict.fromkeys((*one.architectures, *other.architectures))),
        functions=(*one.functions, *other.functions),
    )


def _keep(asked: Iterable[tuple[tuple[Runtime, str], dict[str, SpecifierSet]]]) -> tuple[str, ...]:
    """Return what is asked for in another version than a runtime brings."""
    return tuple(
        dict.fromkeys(
            name
            for (runtime, _), versions in asked
            for name, limit in sorted(versions.items())
            for part in runtime.provides
            if part.sdk and part.name == name and not limit.contains(part.version, prereleases=True)
        )
    )


def _imported(path: Path) -> Iterable[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]

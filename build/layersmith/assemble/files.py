"""Files beside layers.yaml that go into a layer: the keys `files`, `modules` and `stubs`.

A stub is a small module in the place of a distribution. It keeps a .dist-info with the
distribution's name, so that importlib.metadata finds it; its version carries the local label
``+stub`` (PEP 440), so that nobody takes it for the real one.

Links in `files` and `modules` are followed as long as they stay inside the folder of layers.yaml;
the layer holds copies. The mode is reduced to whether a file may be executed, which is all that
git keeps of it, too.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from layersmith import cache
from layersmith.assemble.tree import PREFIX, Bytes, Entry, Removed
from layersmith.assemble.wheel import top_level_modules
from layersmith.config.models import ForeignLayer
from layersmith.config.values import LAYER_PATH_PATTERN
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from layersmith.assemble.tree import Tree
    from layersmith.config.models import Stub
    from layersmith.plan import Target

OWNER = "files:"
"""Stands for the name of a distribution where these files do; no distribution can be called so."""

MODULES = "modules:"
"""The same for what `modules` names."""

HIDDEN = "hidden"
"""The rule that leaves .env, .venv, .git and their like out of the code of a function."""

EXECUTE = 0o111
"""Mode bits of execution, for anyone (POSIX)."""


@dataclass(frozen=True)
class OwnFile:
    """A file beside layers.yaml, and its place in the layer.

    Attributes:
        path: Path in the zip.
        given: Path relative to layers.yaml, as it was reached.
        content: Its bytes.
        executable: Whether anyone may execute it.
        owner: What stands for its distribution.
        hidden: Whether it is a file or folder of a function's code that is not taken, and not read.
    """

    path: str
    given: str
    content: bytes
    executable: bool
    owner: str = OWNER
    hidden: bool = False

    @property
    def rule(self) -> str | None:
        """Why it is left out, as the manifest lists it; None where it is not."""
        if self.hidden:
            return HIDDEN
        # Python wrote it beside a source; the layer gets bytecode of its own.
        cached = self.path.startswith(PREFIX) and "__pycache__" in self.path.split("/")
        return "caches" if cached else None

    @property
    def entry(self) -> Entry:
        """It as a file of the layer."""
        return Entry(self.path, Bytes(self.content), self.owner, self.executable)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of its bytes in hex."""
        return cache.sha256_bytes(self.content)


def read(target: Target, root: Path) -> list[OwnFile]:
    """Return the files that `files` of a layer names, by path in the layer.

    Args:
        target: The target.
        root: Folder of layers.yaml.

    Raises:
        BuildError: A file is missing or cannot be read, a folder is empty, a link leaves the
            folder of layers.yaml or leads nowhere, or two entries claim one path.
    """
    folder = _OwnFolder(root, OWNER, target.identifier, is_code=target.function is not None)
    return folder.read(target.settings.files)


def modules(target: Target, root: Path) -> list[OwnFile]:
    """Return the files that `modules` of a layer names, by path in the layer.

    Args:
        target: The target.
        root: Folder of layers.yaml.

    Raises:
        BuildError: As with ``read``.
    """
    named = {f"{PREFIX}{PurePosixPath(one).name}": one for one in target.settings.modules}
    return _OwnFolder(root, MODULES, target.identifier).read(named)


def digests(target: Target, root: Path) -> dict[str, str]:
    """Return what of the files decides the zip: their paths, bytes and whether they execute."""
    return {
        one.path: f"{one.sha256}{' executable' if one.executable else ''}"
        for one in (*read(target, root), *modules(target, root))
        if one.rule is None
    }


def version(files: list[OwnFile]) -> str:
    """Return what stands for a version of the files: `0+` and a digest (PEP 440)."""
    lines = [f"{one.path} {one.sha256} {one.executable}" for one in files if one.rule is None]
    return f"0+{cache.sha256_bytes(chr(10).join(lines).encode())[:12]}"


def add(tree: Tree, files: list[OwnFile], target: Target) -> None:
    """Put the files into a pruned tree.

    Raises:
        BuildError: A distribution of the layer has the path, or a file where a folder must be.
    """
    folders = {folder: entry for entry in tree for folder in _above(entry.path)}
    for one in files:
        if one.rule:
            tree.removed.append(Removed(one.path, len(one.content), OWNER, one.rule))
            continue
        above = next((folder for folder in _above(one.path) if folder in tree), None)
        other = tree.entries.get(above or one.path) or folders.get(one.path)
        if other is not None:
            raise BuildError(
                f"{one.given}: {one.path} collides with {other.path} of {other.distribution}",
                target=target.identifier,
                cause=f"{one.given} would take the place of a file that a package installs",
                hint="choose another path, or leave the file of the package out under `prune: add`",
            )
        tree.replace(one.entry)
        folders |= dict.fromkeys(_above(one.path), tree.entries[one.path])


def refuse_rivals(tree: Tree, own: list[OwnFile], target: Target) -> None:
    """Refuse a module of `modules` that a distribution brings, too, whichever files they are.

    Packages without an `__init__.py` on both sides are one namespace (PEP 420).

    Raises:
        BuildError: There is one.
    """
    for top in sorted({one.path.split("/")[1] for one in own}):
        name = top.removesuffix(".py")
        there = [entry for entry in tree if top_level_modules([entry.inner]) == [name]]
        other = next((entry for entry in there if entry.distribution != MODULES), None)
        shared = all(entry.inner.startswith(f"{name}/") for entry in there)
        if other and not (shared and f"{PREFIX}{name}/__init__.py" not in tree):
            given = next(one.given for one in own if one.path.split("/")[1] == top)
            raise BuildError(
                f"modules: {name} ({given}) is also a module of {other.distribution}",
                target=target.identifier,
                cause=f"{other.path} is in the layer, and Python would find only one of the two",
                hint="rename yours, or list the distribution under `excludes`",
            )


def provided(target: Target, root: Path) -> frozenset[str]:
    """Return the libraries that the layers beside a target bring, by file name.

    Only lib/ of a layer counts: it is the one folder that Lambda's LD_LIBRARY_PATH names.

    Raises:
        BuildError: The files of a layer beside it cannot be read.
    """
    names = {
        posixpath.basename(one.path)
        for other in target.beside
        for one in read(other, root)
        if posixpath.dirname(one.path) == "lib"
    }
    for layer in target.settings.beside:
        if isinstance(layer, ForeignLayer):
            names |= set(layer.libraries)
    return frozenset(names)


def of_stub(name: str, version: str, stub: Stub, folder: Path) -> list[Entry]:
    """Return the files of a stub.

    Args:
        name: Normalized name of the distribution that it replaces.
        version: Version that was resolved, ``7.7.0``.
        stub: Its declaration in layers.yaml or in a recipe.
        folder: Its folder.

    Raises:
        BuildError: The stub's folder has no file.
    """
    found = [
        Entry(f"{PREFIX}{path.relative_to(folder).as_posix()}", Bytes(path.read_bytes()), name)
        for path in cache.source_files(folder)
    ]
    if not found:
        raise BuildError(f"the stub for {name} is empty: {stub.path} has no Python file")
    dist_info = f"{name.replace('-', '_')}-{version}+stub.dist-info"
    metadata = (
        "Metadata-Version: 2.1\n"
        f"Name: {name}\n"
        f"Version: {version}+stub\n"
        f"Summary: Stub in the place of {name}: {' '.join(stub.reason.split())}\n"
    )
    found.append(Entry(f"{PREFIX}{dist_info}/METADATA", Bytes(metadata.encode()), name))
    found.append(Entry(f"{PREFIX}{dist_info}/RECORD", Bytes(b""), name))
    return found


def _above(path: str) -> Iterator[str]:
    """Yield the folders around a path, the nearest first."""
    while path := posixpath.dirname(path):
        yield path


@dataclass(frozen=True)
class _OwnFolder:
    """Reads what one key of a layer names.

    Attributes:
        root: Folder of layers.yaml.
        owner: What stands for the distribution; it begins with the key.
        target: Identifier of the target, for messages.
        is_code: Whether it is the code of a function, whose hidden files are not taken.
    """

    root: Path
    owner: str
    target: str
    is_code: bool = False

    def read(self, named: Mapping[str, str]) -> list[OwnFile]:
        """Return files by path in the layer; ``named`` is path in the layer to path beside it."""
        found: dict[str, OwnFile] = {}
        for place, given in named.items():
            files = list(self._walk(place, self.root / given, ()))
            if all(one.hidden for one in files):
                raise self._refused(f"{given} is an empty folder")
            for one in files:
                if one.path in found:
                    raise self._refused(
                        f"{one.path} is brought by both {found[one.path].given} and {one.given}"
                    )
                found[one.path] = one
        return [found[path] for path in sorted(found)]

    def _walk(self, place: str, given: Path, above: tuple[Path, ...]) -> Iterator[OwnFile]:
        """Yield a file, or those below a folder; ``above`` are the real ones around it."""
        name = given.relative_to(self.root).as_posix()
        if not re.match(LAYER_PATH_PATTERN, place) or not place.isprintable():
            raise self._refused(f"{name!r} cannot be the path of a file in a layer")
        try:
            real = given.resolve(strict=True)
        except FileNotFoundError:
            raise self._missing(given, name) from None
        except (OSError, RuntimeError) as problem:
            # Before Python 3.13 a loop of links is a RuntimeError.
            raise self._refused(f"{name} cannot be read: {problem}") from None
        if not real.is_relative_to(self.root.resolve()):
            raise self._refused(
                f"{name} is a link that leaves the folder of layers.yaml",
                hint="copy what it leads to beside layers.yaml",
            )
        if real in above:
            raise self._refused(f"{name} is a link to a folder that holds it")
        try:
            if real.is_dir():
                for child in self._children(given):
                    yield from self._child(f"{place}/{child.name}", child, (*above, real))
            elif real.is_file():
                executable = bool(real.stat().st_mode & EXECUTE)
                yield OwnFile(place, name, real.read_bytes(), executable, self.owner)
            else:
                raise self._refused(f"{name} is neither a file nor a folder")
        except OSError as problem:
            raise self._refused(f"{name} cannot be read: {problem.strerror}") from None

    def _child(self, place: str, given: Path, above: tuple[Path, ...]) -> Iterator[OwnFile]:
        if self.is_code and given.name.startswith("."):
            name = given.relative_to(self.root).as_posix()
            yield OwnFile(place, name, b"", executable=False, hidden=True)
        else:
            yield from self._walk(place, given, above)

    def _children(self, folder: Path) -> list[Path]:
        found = sorted(folder.iterdir())
        if self.owner == OWNER:
            return found
        return [one for one in found if not _is_aside(one.name)]

    def _missing(self, given: Path, name: str) -> BuildError:
        if given.is_symlink():
            return self._refused(f"{name} is a link that leads nowhere")
        key = self.owner.removesuffix(":")
        return self._refused(
            f"there is no {name}",
            hint=f"build it first, or correct `{key}` of the layer in layers.yaml",
        )

    def _refused(self, what: str, hint: str | None = None) -> BuildError:
        key = self.owner.removesuffix(":")
        hint = hint or f"correct `{key}` of the layer in layers.yaml"
        return BuildError(f"{self.owner} {what}", hint=hint, target=self.target)


def _is_aside(name: str) -> bool:
    """Whether a file or folder beside modules is none of them: caches, editors, git."""
    return name.startswith(".") or name == "__pycache__" or name.endswith(".pyc")

"""A layer as the audit sees it: files, ELF facts and distributions, from a tree or from a zip.

Only what a check asks for is read: the first bytes of files that could be native or bytecode,
the whole of ELF files, and the metadata of distributions. The rest costs its name.
"""

from __future__ import annotations

import csv
import functools
import io
import posixpath
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from packaging.utils import canonicalize_name
from pydantic import TypeAdapter, ValidationError

from layersmith import cache
from layersmith.assemble.bill import licenses
from layersmith.assemble.tree import PREFIX, WheelMember, stored_wheel
from layersmith.assemble.wheel import headers
from layersmith.base import damage, elf, legacy
from layersmith.base.modules import ModuleName, module_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from layersmith.base.runtimes import Runtime

HEAD = 256
"""Bytes that tell what a file is: magic numbers, the header of a .pyc, a shebang line."""

TEXT_SUFFIXES = frozenset(
    {
        *(".py", ".pyi", ".pyx", ".pxd", ".pth", ".txt", ".md", ".rst", ".html", ".css", ".js"),
        *(".json", ".toml", ".yaml", ".yml", ".cfg", ".ini", ".csv", ".xml", ".typed", ".proto"),
        *(".c", ".h", ".cpp", ".hpp", ".f", ".f90", ".pem", ".svg", ".png", ".sql", ".tmpl"),
    }
)
"""Names of files that nothing loads as machine code; they are not opened to look for it."""


METADATA_NAMES = frozenset({"METADATA", "RECORD", "WHEEL", "INSTALLER", "LICENSE", "REQUESTED"})


class LayerFile(Protocol):
    """One file of a layer; assemble.tree.Entry is one."""

    @property
    def path(self) -> str:
        """Path in the zip."""

    @property
    def distribution(self) -> str:
        """Normalized name of its distribution; empty where it is not known."""

    @property
    def source(self) -> Readable:
        """Its bytes."""

    @property
    def executable(self) -> bool:
        """Whether its mode is 0755."""


class Readable(Protocol):
    """Where bytes are; assemble.tree.Source is one."""

    def read(self) -> bytes:
        """Return the bytes."""


@dataclass(frozen=True)
class InstalledDistribution:
    """A distribution by its .dist-info folder.

    Attributes:
        name: Normalized name.
        dist_info: Path of the folder in the layer.
        record: Paths that its RECORD lists, relative to the folder that holds ``dist_info``.
        tags: Tags of its WHEEL file, ``cp313-cp313-manylinux_2_28_aarch64``; empty without one.
        top_level: Names in its top_level.txt.
        version: Its version, as the name of the folder has it.
        requires: Lines of Requires-Dist in its METADATA.
        license: Its licence, as its METADATA gives it.
    """

    name: str
    dist_info: str
    record: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    top_level: tuple[str, ...] = ()
    version: str = ""
    requires: tuple[str, ...] = ()
    license: licenses.License = field(default_factory=licenses.License)

    @property
    def root(self) -> str:
        """Where its packages lie in the layer, with a slash; ``python/`` where they should."""
        return self.dist_info.rpartition("/")[0] + "/" if "/" in self.dist_info else ""


@dataclass
class Content:
    """Everything that the checks look at.

    Attributes:
        runtime: Where the layer will be loaded.
        architecture: As AWS spells it.
        files: Every file by path.
        elves: Facts of the ELF files by path.
        damaged: Reason by path of ELF files that could not be read.
        removed: Paths that were left out on purpose -> the rule that did it.
        recorded: Distribution -> paths below python/ that its wheel's RECORD lists, where the
            RECORD among the files was corrected since.
        heads: First bytes of the files that were opened, by path.
        beside: Names of the libraries that other layers bring.
    """

    runtime: Runtime
    architecture: str
    files: dict[str, LayerFile]
    removed: Mapping[str, str] = field(default_factory=dict)
    recorded: Mapping[str, Collection[str]] = field(default_factory=dict)
    elves: dict[str, elf.ElfFacts] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    heads: dict[str, bytes] = field(default_factory=dict)
    beside: Collection[str] = ()

    @cached_property
    def distributions(self) -> dict[str, InstalledDistribution]:
        """The distributions by normalized name; the outermost where one is vendored as well."""
        folders = {
            path.rsplit("/", 1)[0]
            for path in self.files
            if path.endswith((".dist-info/METADATA", ".dist-info/RECORD"))
        }
        # setuptools has the .dist-info folders of what lies in setuptools/_vendor.
        order = sorted(folders, key=lambda folder: (-folder.count("/"), folder))
        found = (self._distribution(folder) for folder in order)
        return {one.name: one for one in found}

    @cached_property
    def owners(self) -> dict[str, str]:
        """Path -> normalized name of the distribution that brings it."""
        listed = {
            one.root + path: one.name for one in self.distributions.values() for path in one.record
        }
        # What no RECORD lists, such as bytecode or a renamed file, belongs to its neighbours.
        folders = {posixpath.dirname(path): name for path, name in listed.items()}
        return {
            path: file.distribution or listed.get(path) or _nearest(path, folders)
            for path, file in self.files.items()
        }

    @cached_property
    def modules(self) -> dict[str, list[str]]:
        """Top-level importable name -> its files."""
        names: dict[str, list[str]] = {}
        for path in self.files:
            if path.startswith(PREFIX):
                name = top_level(path.removeprefix(PREFIX))
                if name:
                    names.setdefault(name, []).append(path)
        return names

    def owner(self, path: str) -> str | None:
        """Return the distribution of a file, or None."""
        return self.owners.get(path) or None

    def text(self, path: str) -> str:
        """Return a file as text, empty where it is missing."""
        file = self.files.get(path)
        return legacy.decode(file.source.read()) if file else ""

    def _distribution(self, folder: str) -> InstalledDistribution:
        stem = folder.rsplit("/", 1)[-1].removesuffix(".dist-info")
        project, _, version = stem.rpartition("-")
        name = canonicalize_name(project)
        metadata = headers(self.text(f"{folder}/METADATA"))
        tags = [line for line in self.text(f"{folder}/WHEEL").splitlines() if line[:4] == "Tag:"]
        return InstalledDistribution(
            name=name,
            dist_info=folder,
            record=tuple(self.recorded.get(name) or self._record(folder)),
            tags=tuple(line.removeprefix("Tag:").strip() for line in tags),
            top_level=tuple(self.text(f"{folder}/top_level.txt").split()),
            version=version,
            requires=tuple(map(str, metadata.get_all("Requires-Dist") or ())),
            license=licenses.of(metadata),
        )

    def _record(self, folder: str) -> list[str]:
        path = f"{folder}/RECORD"
        with damage.told(path, kind="RECORD"):
            rows = csv.reader(io.StringIO(self.text(path), newline=None))
            return [row[0] for row in rows if row]


def gather(
    files: Iterable[LayerFile],
    runtime: Runtime,
    architecture: str,
    *,
    removed: Mapping[str, str] | None = None,
    recorded: Mapping[str, Collection[str]] | None = None,
    beside: Collection[str] = (),
    workers: int = 4,
) -> Content:
    """Read what the checks need from the files of a layer.

    Args:
        files: The files, such as the entries of a Tree.
        runtime: Where the layer will be loaded.
        architecture: As AWS spells it.
        removed: Paths that were left out on purpose -> the rule that did it.
        recorded: Distribution -> paths below python/ that its wheel's RECORD lists.
        beside: Names of the libraries that other layers bring.
        workers: Threads that read; decompressing leaves the interpreter lock.
    """
    by_path = {file.path: file for file in files}
    content = Content(runtime, architecture, by_path, removed or {}, recorded or {}, beside=beside)
    candidates = [file for path, file in by_path.items() if _worth_opening(path)]
    with ThreadPoolExecutor(workers) as pool:
        for found in pool.map(_look, candidates):
            content.heads[found.path] = found.head
            if found.facts is not None:
                content.elves[found.path] = found.facts
            elif found.damage is not None:
                content.damaged[found.path] = found.damage
    return content


def _nearest(path: str, folders: Mapping[str, str]) -> str:
    """Return the owner of the nearest folder around a file, below the common one; or nothing."""
    folder = path.rpartition("/")[0]
    while "/" in folder:
        if folder in folders:
            return folders[folder]
        # Not dirname, which never gets past the root of an absolute path.
        folder = folder.rpartition("/")[0]
    return ""


def top_level(inner: str) -> str | None:
    """Return the top-level name that a file below python/ makes importable, or None."""
    first, _, rest = inner.partition("/")
    if rest:
        loads = rest.endswith((".py", ".pyc")) or module_name(rest) is not None
        return first if first.isidentifier() and loads else None
    if first.endswith((".py", ".pyc")):
        stem = first.rsplit(".", 1)[0]
        return stem if stem.isidentifier() else None
    extension = module_name(first)
    return extension.module if extension else None


@dataclass(frozen=True)
class _Found:
    path: str
    head: bytes
    facts: elf.ElfFacts | None = None
    damage: str | None = None


def _look(file: LayerFile) -> _Found:
    head = _head(file.source)
    if not elf.is_elf(head):
        return _Found(file.path, head)
    try:
        elf_facts = facts(file.source, _expected_module(module_name(file.path)))
    except elf.DamagedElf as problem:
        return _Found(file.path, head, damage=str(problem))
    return _Found(file.path, head, facts=elf_facts)


def _expected_module(name: ModuleName | None) -> str | None:
    return name.module if name and name.tag else None


def _worth_opening(path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    if "/bin/" in path or path.startswith("bin/"):
        return True
    if ".dist-info/" in path and name in METADATA_NAMES:
        return False
    dot = name.rfind(".")
    return dot <= 0 or name[dot:].lower() not in TEXT_SUFFIXES


def _head(source: Readable) -> bytes:
    if isinstance(source, WheelMember):
        raw = source.read_compressed() if source.compressed_size <= HEAD else _first(source)
        return raw[:HEAD] if source.method == 0 else _inflate(raw)
    return source.read()[:HEAD]


def _first(member: WheelMember) -> bytes:
    with member.wheel.open("rb") as stream:
        stream.seek(member.offset)
        return stream.read(min(member.compressed_size, 4 * HEAD))


def _inflate(raw: bytes) -> bytes:
    inflate: Callable[[bytes, int], bytes] = zlib.decompressobj(wbits=-15).decompress
    try:
        return inflate(raw, HEAD)
    except zlib.error:
        # Damaged: whoever reads the whole of it says so, with the name of the wheel.
        return b""


def facts(source: Readable, module: str | None) -> elf.ElfFacts:
    """Return the facts of an ELF file, from the cache where it holds them.

    Args:
        source: The file.
        module: Name of the Python module that it should be, see ``elf.read``.

    Raises:
        DamagedElf: The file is cut short, or its tables contradict each other.
    """
    path = _path(source, module)
    if path is None:
        return elf.read(source.read(), module=module)
    try:
        return _adapter().validate_json(path.read_bytes())
    except (OSError, ValidationError):
        found = elf.read(source.read(), module=module)
        cache.write_bytes(path, _adapter().dump_json(found))
        return found


def _path(source: Readable, module: str | None) -> Path | None:
    wheel = stored_wheel(source)
    if not isinstance(source, WheelMember) or not wheel:
        return None
    name = f"{source.offset}-{source.crc:08x}-{module or 'library'}.json"
    return cache.cache_root() / "elf" / cache.reader_digest(Path(elf.__file__)) / wheel / name


@functools.cache
def _adapter() -> TypeAdapter[elf.ElfFacts]:
    return TypeAdapter(elf.ElfFacts)

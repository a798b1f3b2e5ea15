"""The libraries inside a wheel that no bill of materials names: by SONAME and texts in them.

auditwheel puts libraries beside a package (``pillow.libs/``), others lie within it, and many are
linked into a module. What is known of their names and releases is data (bundled.toml). A release is
stated only where the machine code or the name of the file proves it; the number in a SONAME is the
version of an ABI, and stays a property.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections import defaultdict
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from layersmith import cache
from layersmith.assemble.tree import WheelMember, stored_wheel
from layersmith.base import elf, modules

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from layersmith.assemble.tree import Entry

TABLE = Path(__file__).with_name("bundled.toml")

HASHED = re.compile(r"(-[0-9a-f]{8,})+(?=\.|$)")
"""What auditwheel puts into the names of libraries that it bundles: ``libwebp-7a3b5c2d.so.7``."""


class KnownLibrary(BaseModel):
    """A table of bundled.toml, which says what its keys mean."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=lambda name: name.replace("_", "-")
    )

    sonames: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    anchor: tuple[str, ...] = ()
    anywhere: str | None = None
    own: str | None = None
    in_name: bool = False
    cpe: str | None = None
    source: str


class NativeFacts(BaseModel):
    """What one native file tells of the libraries in it; kept in the cache."""

    soname: str | None = None
    needed: tuple[str, ...] = ()
    releases: dict[str, tuple[str, ...]] = {}
    """Known library -> texts that were found, releases first; an empty one where it has none."""


@dataclass
class _Library:
    """One library with the files that hold it."""

    name: str
    release: str | None
    how: str
    known: KnownLibrary | None
    files: set[str]
    sonames: set[str] = field(default_factory=set)

    def take(self, other: _Library) -> None:
        """Add the files of another part of it."""
        self.files |= other.files
        self.sonames |= other.sonames


def stem(name: str) -> str:
    """Return a library's name without folder, hash and version: ``libwebp``."""
    return HASHED.sub("", name.rsplit("/", 1)[-1].split(".so", 1)[0])


def components(
    entries: Iterable[Entry], named: Collection[Mapping[str, Any]], own: str
) -> list[dict[str, Any]]:
    """Return the libraries of a wheel that its bills do not name, as CycloneDX writes components.

    Args:
        entries: The native files of the wheel that are in the layer, as the wheel holds them.
        named: The components that the wheel's bills name, with those inside them.
        own: Reference of the distribution, below which theirs stand.

    Raises:
        BuildError: A member of the wheel is damaged.
    """
    table, covered = _table(), _by_name(named)
    found: dict[tuple[str, str | None], _Library] = {}
    for entry in entries:
        for one in _libraries(entry.inner, _facts(entry), table):
            found.setdefault((one.name, one.release), one).take(one)
    for (name, release), one in [*found.items()]:
        releases = [other for other in found if other[0] == name and other[1]]
        if release is None and len(releases) == 1:
            # libssl beside libcrypto, which tells the release of both.
            found[releases[0]].take(one)
            del found[name, release]
    ordered = sorted(found.values(), key=lambda one: (one.name, one.release or ""))
    return [_component(one, own) for one in ordered if not _is_covered(one, covered)]


def _libraries(
    path: str, facts: NativeFacts, table: Mapping[str, KnownLibrary]
) -> Iterator[_Library]:
    """Yield the libraries that a file is, or has in it."""
    name = facts.soname or path.rsplit("/", 1)[-1]
    itself = _known(stem(name), table) if _is_library(path) else None
    for key, texts in facts.releases.items():
        if key != itself:
            needs = any(_known(stem(one), table) == key for one in facts.needed)
            # What a file loads from elsewhere it names as its header did when it was compiled.
            if not needs and table[key].anywhere:
                for text in texts:
                    yield _Library(
                        key, text or None, "a text of it in the file", table[key], {path}
                    )
    if not _is_library(path):
        return
    how = "SONAME" if facts.soname else "name of the file"
    sonames = {facts.soname} if facts.soname else set()
    if itself is None:
        yield _Library(stem(name), None, how, None, {path}, sonames)
        return
    known, texts = table[itself], facts.releases.get(itself, ())
    numbers = re.search(r"\.so\.(\d+(?:\.\d+)+[a-z]*)$", path)
    if len(texts) == 1 and texts[0]:
        yield _Library(itself, texts[0], f"{how}, and a text in it", known, {path}, sonames)
    elif known.in_name and numbers:
        yield _Library(itself, numbers[1], f"{how}, and its file name", known, {path}, sonames)
    else:
        yield _Library(itself, None, how, known, {path}, sonames)


def _is_library(path: str) -> bool:
    """Whether a file is a library by its name, not a module that Python imports."""
    name = path.rsplit("/", 1)[-1]
    module = modules.module_name(path)
    if not modules.is_shared_library(path) or (module and module.tag):
        return False
    return name.startswith("lib") or ".libs/" in path or ".so." in name


def _known(name: str, table: Mapping[str, KnownLibrary]) -> str | None:
    fitting = (
        key
        for key, one in table.items()
        if any(fnmatchcase(name, pattern) for pattern in one.sonames)
    )
    return next(fitting, None)


def _by_name(named: Collection[Mapping[str, Any]]) -> dict[str, set[str | None]]:
    """Return the versions that bills give, by name: ``libjpeg / libjpeg-turbo`` are two."""
    found: dict[str, set[str | None]] = defaultdict(set)
    for one in named:
        for name in str(one["name"]).split("/"):
            found[_plain(name)].add(one.get("version"))
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower())


def _is_covered(one: _Library, covered: Mapping[str, set[str | None]]) -> bool:
    """Whether a bill of the wheel names a library; another release of it is another component."""
    names = {one.name, *map(stem, one.sonames)}
    names |= {*one.known.names, *one.known.sonames} if one.known else set()
    versions = {said for name in names for said in covered.get(_plain(name), ())}
    if not versions or one.release is None:
        return bool(versions)
    return any(said is None or re.split(r"[-+~]", said)[0] == one.release for said in versions)


def _component(one: _Library, own: str) -> dict[str, Any]:
    version = {"version": one.release} if one.release else {}
    ref = f"{own}#libraries/{one.name}" + (f"@{one.release}" if one.release else "")
    made: dict[str, Any] = {"type": "library", "bom-ref": ref, "name": one.name, **version}
    if one.known:
        made["purl"] = f"pkg:generic/{one.name}" + (f"@{one.release}" if one.release else "")
        if one.known.cpe and one.release:
            made["cpe"] = f"cpe:2.3:a:{one.known.cpe}:{_cpe(one.release)}:*:*:*:*:*:*:*"
    properties = [
        {"name": "layersmith:found-by", "value": one.how},
        *({"name": "layersmith:soname", "value": soname} for soname in sorted(one.sonames)),
    ]
    made["evidence"] = {"occurrences": [{"location": path} for path in sorted(one.files)]}
    return {**made, "properties": properties}


def _cpe(text: str) -> str:
    return re.sub(r"([^A-Za-z0-9._-])", r"\\\1", text)


def _facts(entry: Entry) -> NativeFacts:
    """Return what a file tells, from the cache where it holds it."""
    source, path = entry.source, None
    if isinstance(source, WheelMember) and (wheel := stored_wheel(source)):
        folder = cache.cache_root() / "bundled" / cache.reader_digest(Path(__file__), TABLE) / wheel
        path = folder / f"{source.offset}-{source.crc:08x}.json"
        try:
            return NativeFacts.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            pass
    found = _read(source.read(), is_library=_is_library(entry.path))
    if path:
        cache.write_text(path, found.model_dump_json())
    return found


def _read(content: bytes, *, is_library: bool) -> NativeFacts:
    table = _table()
    releases = {
        key: tuple(sorted(texts))
        for key, one in table.items()
        if one.anywhere
        and any(text.encode() in content for text in one.anchor)
        and (texts := _texts(one.anywhere, content))
    }
    if not (releases or is_library):
        return NativeFacts()
    try:
        facts = elf.read(content)
    except elf.DamagedElf:  # the audit has told of it
        return NativeFacts(releases=releases)
    own = _known(stem(facts.soname), table) if facts.soname else None
    pattern = table[own].own if own else None
    if own and pattern and (texts := _texts(pattern, content)):
        releases[own] = tuple(sorted(texts))
    return NativeFacts(soname=facts.soname, needed=facts.needed, releases=releases)


def _texts(pattern: str, content: bytes) -> set[str]:
    found = re.finditer(pattern.encode(), content)
    return {one[1].decode("ascii", "replace") if one.re.groups else "" for one in found}


@functools.cache
def _table() -> dict[str, KnownLibrary]:
    adapter = TypeAdapter(dict[str, KnownLibrary])
    return adapter.validate_python(tomllib.loads(TABLE.read_text("utf-8")))

"""Remembers the facts of ELF files that lie unchanged in a wheel of the store.

They follow from the file alone, whose wheel is known by its SHA-256: they are read once a machine
and not once a build, because decompressing and parsing libraries is most of what an audit costs.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from layersmith import cache
from layersmith.assemble.tree import WheelMember
from layersmith.measure import elf

if TYPE_CHECKING:
    from layersmith.measure.content import Readable

SHA256 = re.compile(r"[0-9a-f]{64}")


def facts(source: Readable, module: str | None) -> elf.ElfFacts:
    """Return the facts of an ELF file, from the cache where they are there.

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
    # The store keeps a wheel in a folder that is named by its SHA-256.
    if not isinstance(source, WheelMember) or not SHA256.fullmatch(source.wheel.parent.name):
        return None
    name = f"{source.offset}-{source.crc:08x}-{module or 'library'}.json"
    return cache.cache_root() / "elf" / _reader_digest() / source.wheel.parent.name / name


@functools.cache
def _reader_digest() -> str:
    """Digest of the code that reads facts: what another reader wrote is read anew."""
    return cache.sha256_file(Path(elf.__file__))[:16]


@functools.cache
def _adapter() -> TypeAdapter[elf.ElfFacts]:
    return TypeAdapter(elf.ElfFacts)

"""Puts a small module of the repository in the place of a distribution.

The stub keeps a .dist-info with the distribution's name, so that importlib.metadata finds it; its
version carries the local label ``+stub`` (PEP 440), so that nobody takes it for the real one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith import cache
from layersmith.assemble.tree import PREFIX, Bytes, Entry
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.config.models import Stub


def entries(name: str, version: str, stub: Stub, root: Path) -> list[Entry]:
    """Return the files of a stub.

    Args:
        name: Normalized name of the distribution that it replaces.
        version: Version that was resolved, ``7.7.0``.
        stub: Its declaration in layers.yaml.
        root: Folder of layers.yaml.

    Raises:
        BuildError: The stub's folder has no file.
    """
    folder = root / stub.path
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

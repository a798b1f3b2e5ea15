"""Finished wheels on disk, each in a folder named by the hash of its inputs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layersmith import cache

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class BuiltWheel:
    """A wheel that was compiled here.

    Attributes:
        path: Where it is cached.
        sha256: Its SHA-256 in hex.
        record: What it was made from, for the lock and the manifest; JSON values only.
    """

    path: Path
    sha256: str
    record: dict[str, Any]

    @property
    def warning(self) -> str | None:
        """What to say of a wheel that holds no native file; None of one that does."""
        if self.record["glibc"]:
            return None
        error = self.record.get("passed_over")
        return "compiled nothing: its wheel holds no native file" + (
            f"; the build passed over: {error}" if error else ""
        )


def key(inputs: Any) -> str:
    """Return the name of the folder for some inputs: JSON values."""
    return cache.sha256_bytes(json.dumps(inputs, sort_keys=True).encode())


def read(folder: Path) -> BuiltWheel | None:
    """Return what is cached in ``folder`` if it is whole."""
    try:
        record = json.loads((folder / "record.json").read_text("utf-8"))
        path = folder / record["filename"]
        whole = cache.sha256_file(path) == record["sha256"]
        return BuiltWheel(path, record["sha256"], record) if whole else None
    except (OSError, ValueError, KeyError):
        return None


def write(folder: Path, wheel: Path, inputs: Mapping[str, Any], glibc: str) -> BuiltWheel:
    """Cache a wheel; the record comes last, and a wheel without one does not count.

    Args:
        folder: Where it goes.
        wheel: The finished wheel.
        inputs: What it was made from.
        glibc: Highest glibc version that its ELF files need; empty where it has none.
    """
    record = {
        **inputs,
        "glibc": glibc,
        "filename": wheel.name,
        "size": wheel.stat().st_size,
        "sha256": cache.sha256_file(wheel),
    }
    kept = folder / wheel.name
    cache.write_bytes(kept, wheel.read_bytes())
    cache.write_text(folder / "record.json", json.dumps(record, indent=1) + "\n")
    return BuiltWheel(kept, record["sha256"], record)

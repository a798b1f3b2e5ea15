"""Unpacks layers the way Lambda does: one over the other, at /opt."""

from __future__ import annotations

import shutil
import stat
import threading
from typing import TYPE_CHECKING

from layersmith.errors import ProofError
from layersmith.prove import layer_zip

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Sequence
    from pathlib import Path


class Store:
    """Unpacks each combination of layers once, for all functions of a run.

    Args:
        folder: Where they are unpacked.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[tuple[Path, ...], Path] = {}
        self._lock = threading.Lock()

    def opt(self, layers: tuple[Path, ...]) -> Path:
        """Return the folder that stands for /opt of functions with these layers.

        Raises:
            ProofError: A layer is missing or damaged.
        """
        with self._lock:
            if layers not in self._known:
                into = self._folder / f"opt-{len(self._known)}"
                self._known[layers] = unpack(layers, into)
            return self._known[layers]


def unpack(layers: Sequence[Path], into: Path) -> Path:
    """Lay layers over each other, and return the folder that stands for /opt.

    That is ``into``, which is made; a single folder stands for itself.

    Args:
        layers: Zips, or folders of unpacked layers; a later one wins over an earlier one.
        into: Folder for what is unpacked.

    Raises:
        ProofError: A zip is missing or damaged, or a member points out of the folder.
    """
    if len(layers) == 1 and layers[0].is_dir():
        return layers[0].resolve()
    into.mkdir(parents=True)
    for layer in layers:
        if layer.is_dir():
            shutil.copytree(layer, into, dirs_exist_ok=True, symlinks=True)
        else:
            _unzip(layer, into)
    return into


def _unzip(layer: Path, into: Path) -> None:
    with layer_zip.opened(layer) as archive:
        for member in archive.infolist():
            _extract(archive, member, into)


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, into: Path) -> None:
    place = into / member.filename
    if not place.resolve().is_relative_to(into.resolve()):
        raise ProofError(f"{member.filename!r} points out of the layer")
    if member.is_dir():
        place.mkdir(parents=True, exist_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, place.open("wb") as output:
        shutil.copyfileobj(source, output, 1 << 20)
    mode = member.external_attr >> 16
    # Lambda runs the function as another user: what is not readable to all is not readable.
    place.chmod(stat.S_IMODE(mode) if mode else 0o644)

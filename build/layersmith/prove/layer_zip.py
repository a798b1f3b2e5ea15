"""Looks into a layer's zip without unpacking it, and unpacks layers the way Lambda does.

That is one over the other, at /opt.
"""

from __future__ import annotations

import contextlib
import shutil
import stat
import threading
import zipfile
from functools import cached_property
from typing import TYPE_CHECKING

from layersmith.base import architectures, damage, elf, modules
from layersmith.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@contextlib.contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a layer's zip for reading.

    Raises:
        ProofError: It is missing, or what the block reads of it is damaged.
    """
    if not path.exists():
        raise ProofError(
            f"{path.name} does not exist", cause="it has not been built", hint="run `nox -s build`"
        )
    with damage.told(path.name, ProofError, hint="build it again"), zipfile.ZipFile(path) as layer:
        yield layer


class LayerZip:
    """The files of a layer.

    Args:
        path: The zip.

    Raises:
        ProofError: It is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with opened(path) as archive:
            self.paths = [i.filename for i in archive.infolist() if not i.is_dir()]

    @cached_property
    def by_name(self) -> dict[str, list[str]]:
        """Paths by the last part of the path."""
        found: dict[str, list[str]] = {}
        for path in self.paths:
            found.setdefault(path.rpartition("/")[2], []).append(path)
        return found

    def machine(self, member: str) -> str | None:
        """Return the architecture in a file's ELF header; None where it is no ELF file."""
        with opened(self.path) as archive, archive.open(member) as stream:
            return elf.machine(stream.read(elf.HEAD))

    def holds(self, member: str, text: bytes) -> bool:
        """Whether some bytes are in a file."""
        with opened(self.path) as archive:
            return text in archive.read(member)


def named_for(path: str) -> tuple[str, str] | None:
    """Return the Python version and architecture in an extension's name, or None.

    ``_imaging.cpython-312-x86_64-linux-gnu.so`` is for ``("3.12", "x86_64")``.
    """
    name = modules.module_name(path)
    if name is None or not name.is_for_cpython or not name.python or not name.platform:
        return None
    machine = architectures.named(name.platform.partition("-")[0])
    known = machine in architectures.MACHINES
    return (f"{name.python[0]}.{name.python[1:]}", machine) if known else None


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
    with opened(layer) as archive:
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

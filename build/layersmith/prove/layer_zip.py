"""Looks into a layer's zip without unpacking it."""

from __future__ import annotations

import contextlib
import zipfile
from functools import cached_property
from typing import TYPE_CHECKING

from layersmith.base import architectures, damage, elf, modules
from layersmith.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Iterator
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

"""Looks into a layer's zip without unpacking it."""

from __future__ import annotations

import re
import zipfile
from functools import cached_property
from typing import TYPE_CHECKING

from layersmith.base import architectures
from layersmith.errors import ProofError

if TYPE_CHECKING:
    from pathlib import Path

_TAG = re.compile(
    r"\.cpython-(?P<version>\d+)[a-z]*-"
    rf"(?P<machine>{'|'.join(machine.wheel for machine in architectures.MACHINES.values())})-"
)


class LayerZip:
    """The files of a layer.

    Args:
        path: The zip.

    Raises:
        ProofError: It is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                self.paths = [i.filename for i in archive.infolist() if not i.is_dir()]
        except FileNotFoundError:
            raise ProofError(
                f"{path.name} is not there",
                cause="it has not been built",
                hint="run `nox -s build`",
            ) from None
        except zipfile.BadZipFile as problem:
            raise ProofError(f"{path.name} is not a zip", cause=str(problem)) from problem

    @cached_property
    def by_name(self) -> dict[str, list[str]]:
        """Paths by the last part of the path."""
        found: dict[str, list[str]] = {}
        for path in self.paths:
            found.setdefault(path.rpartition("/")[2], []).append(path)
        return found

    def machine(self, member: str) -> str | None:
        """Return the architecture in a file's ELF header; None where it is no ELF file."""
        with zipfile.ZipFile(self.path) as archive, archive.open(member) as stream:
            head = stream.read(20)
        if len(head) < 20 or not head.startswith(b"\x7fELF"):
            return None
        number = int.from_bytes(head[18:20], "little")
        return architectures.of_elf(number)


def named_for(path: str) -> tuple[str, str] | None:
    """Return the Python version and architecture in an extension's name, or None.

    ``_imaging.cpython-312-x86_64-linux-gnu.so`` is for ``("3.12", "x86_64")``.
    """
    found = _TAG.search(path)
    if not found:
        return None
    version = found["version"]
    return f"{version[0]}.{version[1:]}", architectures.named(found["machine"])

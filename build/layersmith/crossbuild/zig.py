"""The compiler: zig's clang with the headers and link stubs of every glibc, from a wheel.

``zig cc -target aarch64-linux-gnu.2.34`` compiles and links against exactly that glibc, so that
what it builds cannot need a newer symbol than the runtime has. Nothing of the host's C library or
headers is used; the same version of zig gives the same bytes on any machine.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith.base import architectures
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from layersmith.base.runtimes import Runtime


@dataclass(frozen=True)
class Zig:
    """An installed zig.

    Attributes:
        program: Path of its executable.
        version: Version of the ziglang distribution.
    """

    program: Path
    version: str

    @property
    def record(self) -> dict[str, str]:
        """Name and version, as locks and manifests note it."""
        return {"name": "zig", "version": self.version}


@functools.cache
def find() -> Zig:
    """Return the zig that is installed beside this interpreter.

    Raises:
        BuildError: There is none.
    """
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise BuildError(
            "compiling for another architecture needs zig, and it is not installed",
            hint="install dependency group `build` of pyproject.toml, which holds ziglang",
        )
    return Zig(Path(spec.origin).parent / "zig", importlib.metadata.version("ziglang"))


def triple(runtime: Runtime, architecture: str) -> str:
    """Return zig's name of a target: ``aarch64-linux-gnu.2.34``."""
    major, minor = runtime.glibc
    return f"{architectures.get(architecture).triplet}.{major}.{minor}"


def environment(work_cache: Path) -> dict[str, str]:
    """Return the variables that keep zig's own caches below ``work_cache``.

    Two zig processes may share them: zig locks what it writes.
    """
    folder = str(work_cache / "zig")
    return {"ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder}

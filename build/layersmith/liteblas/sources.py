"""LAPACK for the drop-in: numpy's own lapack_lite, from the sdist of the same version.

lapack_lite is LAPACK 3.2.2 in C as f2c made it. f2c keeps every local variable of Fortran in
static memory, and numpy puts a lock around each call where it links lapack_lite. The wheel's
extension modules are built for OpenBLAS and have no such lock, so the variables are made automatic
here: the library can then be called from many threads at once.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from layersmith.base import damage
from layersmith.crossbuild import sdist as archives
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from pathlib import Path

LAPACK = (
    "f2c_c_lapack.c",
    "f2c_d_lapack.c",
    "f2c_s_lapack.c",
    "f2c_z_lapack.c",
    "f2c_lapack.c",
)
"""LAPACK routines, by element type and shared."""

REFERENCE_BLAS = "f2c_blas.c"
"""The BLAS routines that LAPACK calls; csrc/kernels.c takes the place of the busiest ones."""

LIBRARY = "f2c.c"
"""f2c's support library: complex division, powers, strings."""

HEADERS = ("f2c.h", "lapack_lite_names.h")
LICENSE = "LICENSE.txt"
FOLDER = "numpy/linalg/lapack_lite/"

_LOCAL = re.compile(r"^(?P<indent>[ \t]+)static (?P<rest>.*)$", re.MULTILINE)
_CONSTANT = re.compile(r"^static (?!const\b)(?P<rest>[^(\n]*=.*)$", re.MULTILINE)


def reentrant(source: str) -> str:
    """Return f2c's output without writable static memory.

    A local without an initializer becomes automatic: LAPACK keeps nothing in it between calls (it
    is built with -frecursive elsewhere). One with an initializer is a table, and f2c's file-level
    variables are the literals of the Fortran source; both become constant, so that a write to one
    could not go unseen.
    """

    def local(match: re.Match[str]) -> str:
        keyword = "static const " if "=" in match["rest"] else ""
        return f"{match['indent']}{keyword}{match['rest']}"

    return _CONSTANT.sub(r"static const \g<rest>", _LOCAL.sub(local, source))


def unpack(sdist: Path, folder: Path) -> None:
    """Write lapack_lite's sources, made reentrant, to ``folder``.

    Raises:
        BuildError: The sdist has no lapack_lite as it is known here.
    """
    wanted = {*LAPACK, REFERENCE_BLAS, LIBRARY, *HEADERS, LICENSE}
    with contextlib.closing(archives.files(sdist)) as found:
        for path, content in found:
            _, _, inner = path.partition("/")
            name = inner.removeprefix(FOLDER)
            if inner.startswith(FOLDER) and name in wanted:
                with damage.told(sdist.name):
                    text = content().decode("utf-8")
                made = reentrant(text) if name.endswith(".c") else text
                (folder / name).write_text(made, "utf-8")
                wanted.remove(name)
            if not wanted:
                break
    if wanted:
        raise BuildError(
            f"{sdist.name} lacks {', '.join(sorted(wanted))} of {FOLDER}",
            hint="leave `lite-blas` out for this version of numpy",
        )

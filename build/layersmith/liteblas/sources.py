"""LAPACK for the drop-in: numpy's own lapack_lite, from the sdist of the same version.

lapack_lite is LAPACK 3.2.2 in C as f2c made it. f2c keeps every local variable of Fortran in
static memory, and numpy puts a lock around each call where it links lapack_lite. The wheel's
extension modules are built for OpenBLAS and have no such lock, so the variables are made automatic
here: the library can then be called from many threads at once.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith.base import damage
from layersmith.crossbuild import sdist as archives
from layersmith.errors import BuildError
from layersmith.lock import resolver, wheelstore

if TYPE_CHECKING:
    from collections.abc import Collection

    from layersmith.base.runtimes import Runtime

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
    for path, content in archives.files(sdist):
        _, _, inner = path.partition("/")
        name = inner.removeprefix(FOLDER)
        if inner.startswith(FOLDER) and name in wanted:
            with damage.told(sdist.name):
                text = content().decode("utf-8")
            (folder / name).write_text(reentrant(text) if name.endswith(".c") else text, "utf-8")
            wanted.remove(name)
    if wanted:
        raise BuildError(
            f"{sdist.name} lacks {', '.join(sorted(wanted))} of {FOLDER}",
            hint="leave `lite-blas` out for this version of numpy",
        )


def sdist(version: str, runtime: Runtime, allowed: Collection[str] | None) -> tuple[Path, str]:
    """Return numpy's sdist and its SHA-256, from the store or the index that uv is set up for.

    Args:
        version: Version of numpy.
        runtime: The runtime whose Python version it must support.
        allowed: SHA-256 hashes of which it must have one; None trusts the index's own.

    Raises:
        BuildError: It cannot be had, or is none of those allowed.
    """
    with tempfile.TemporaryDirectory(prefix="layersmith-") as scratch:
        try:
            found = resolver.sdist("numpy", version, runtime.python_version, Path(scratch))
        except resolver.Unresolvable as problem:
            raise _missing(version, problem.explanation.strip()) from None
    if found is None or found.sha256 is None:
        raise _missing(version, "the index offers none, or offers it without a hash")
    if allowed is not None and found.sha256 not in allowed:
        raise BuildError(
            f"{found.filename} on the index has a hash that the lock does not name",
            hint="run `nox -s lock` if the change is wanted; otherwise do not build from it",
        )
    stored = wheelstore.verified(found.sha256, found.filename)
    if stored is None:
        download = wheelstore.Download(found.sha256, found.url, found.filename)
        stored = wheelstore.fetch_one(download)
    return stored, found.sha256


def _missing(version: str, cause: str) -> BuildError:
    return BuildError(
        f"could not download the sdist of numpy {version}; lite BLAS is built from it",
        cause=cause,
        hint="give uv an index with sdists, or leave `lite-blas` out for this layer",
    )

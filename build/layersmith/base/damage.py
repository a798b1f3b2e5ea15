"""Says that a file is damaged, whatever the library that reads it raises over that.

Archives and documents come from indexes, disks, editors and merges. What zipfile, tarfile, json and
tomllib raise over broken ones is documented in part, and differs from one version to the next.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import lzma
import struct
import tarfile
import zipfile
import zlib
from pathlib import PurePath
from typing import TYPE_CHECKING

from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layersmith.errors import LayersmithError

RAISED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, csv.Error),
    *(EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, OverflowError),
)
"""What readers raise over damaged bytes. RuntimeError stands for an encrypted member, for a method
or version of zip that Python does not know (NotImplementedError), and for a document nested too
deep (RecursionError); TypeError and AttributeError for a document of another form."""

KINDS = {
    ".whl": "wheel",
    ".zip": "zip",
    ".json": "JSON file",
    ".toml": "TOML file",
    ".gz": "source archive",
    ".bz2": "source archive",
    ".xz": "source archive",
}
"""What messages call a file, by the end of its name."""


@contextlib.contextmanager
def told(
    name: str,
    error: type[LayersmithError] = BuildError,
    *,
    kind: str | None = None,
    target: str | None = None,
    cause: str = "the file was cut short or changed, or is something else",
    hint: str | None = None,
) -> Iterator[None]:
    """Turn what a damaged file raises within the block into one error; a bug there, too.

    So the block reads the file and does nothing else. An OSError of the machine, such as a missing
    file or a full disk, is passed on.

    Args:
        name: Name of the file, for the message.
        error: Class of the error.
        kind: What the file should be, ``price list``; by default follows from its name.
        target: Identifier of the target that it concerns.
        cause: The likely cause, as a sentence.
        hint: What to do next, as a sentence.

    Raises:
        LayersmithError: Of the class ``error``: the file is damaged.
    """
    try:
        yield
    except (*RAISED, OSError) as problem:
        # bz2 and gzip report damage as an OSError without a number; EINVAL is a seek to nowhere.
        if isinstance(problem, OSError) and problem.errno not in {None, errno.EINVAL}:
            raise
        kind = kind or KINDS.get(PurePath(name).suffix, "file")
        said = str(problem) or type(problem).__name__
        raise error(
            f"{name} is not a readable {kind}: {said}", target=target, cause=cause, hint=hint
        ) from problem

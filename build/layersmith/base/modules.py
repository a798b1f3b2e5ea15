"""Modules by the paths of files: extensions, which Python looks for them, and what a layer holds.

CPython's import system tries the suffixes of ``importlib.machinery.EXTENSION_SUFFIXES``: on
Linux ``.cpython-313-aarch64-linux-gnu.so`` (PEP 3149, with the platform triplet), ``.abi3.so``
(PEP 384) and ``.so``. A file with any other suffix is not found, whatever it holds.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith.base import architectures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from layersmith.base.runtimes import Runtime

_EXTENSION = re.compile(
    r"^(?P<module>[A-Za-z_]\w*)"
    r"(?:\.(?P<tag>abi3|cpython-(?P<python>\d+)(?P<flags>[a-z]*)(?:-(?P<platform>[\w-]+))?"
    r"|pypy(?P<pypy>\d+)-[\w-]+))?\.so$"
)
_COMPILED = re.compile(r"\.(?:abi3|cpython-\d+[^.]*)(?=\.(?:so|pyc)$)")
_NATIVE = re.compile(r"\.so\.[^/]*$|\.(?:so|a|dylib)$")
_OTHER_SYSTEM = re.compile(r"^(?P<module>[A-Za-z_]\w*)\.(?P<tag>[\w-]+)\.pyd$")

GRAFTED = re.compile(r"(^|/)[^/]+\.libs/[^/]+$")
"""Where auditwheel puts libraries: only a search path leads there, no package loads them itself,
and they know nothing of Python's modules."""


@dataclass(frozen=True)
class ModuleName:
    """The name of a file that could be an extension module.

    Attributes:
        module: Name that is imported, ``_imaging``.
        tag: What stands between name and suffix; None for a bare ``.so``.
        python: ``313`` of a tag for CPython; None for abi3 and bare names.
        flags: ABI flags behind it: ``t`` for free-threaded builds.
        platform: ``aarch64-linux-gnu``; None where the tag has none.
    """

    module: str
    tag: str | None = None
    python: str | None = None
    flags: str = ""
    platform: str | None = None

    @property
    def is_for_cpython(self) -> bool:
        """Whether some CPython on Linux may look for it."""
        return self.platform != "win" and not (self.python or "").startswith("pypy")


def module_name(path: str) -> ModuleName | None:
    """Parse the name of a file, or return None if no import looks for such a name."""
    name = path.rsplit("/", 1)[-1]
    found = _EXTENSION.match(name)
    if found:
        python = found["python"] or (f"pypy{found['pypy']}" if found["pypy"] else None)
        return ModuleName(
            found["module"], found["tag"], python, found["flags"] or "", found["platform"]
        )
    windows = _OTHER_SYSTEM.match(name)
    return ModuleName(windows["module"], windows["tag"], None, "", "win") if windows else None


def suffixes(runtime: Runtime, architecture: str) -> tuple[str, str, str]:
    """Return the ends of extensions that a runtime's Python looks for, in its order."""
    triplet = architectures.get(architecture).triplet
    return f".{runtime.bytecode_tag}-{triplet}.so", ".abi3.so", ".so"


def without_tag(path: str) -> str:
    """Return the path of an extension or .pyc file without the Python and platform in its name."""
    return _COMPILED.sub("", path)


def is_native(path: str) -> bool:
    """Whether a name is that of a compiled library, of this system or of another one."""
    return _NATIVE.search(path) is not None


def is_shared_library(path: str) -> bool:
    """Whether a name is that of a shared library or extension module: ``.so``, ``.so.1.2``."""
    return re.search(r"\.so(\.\d+)*$", path) is not None


_SITE = re.compile(r"^lib/python3\.\d+/site-packages/")


@dataclass(frozen=True)
class Module:
    """A module of a layer.

    Attributes:
        name: As it is imported, ``PIL._imaging``.
        path: Its file in the layer, ``python/PIL/_imaging.cpython-313-aarch64-linux-gnu.so``.
    """

    name: str
    path: str

    @property
    def top(self) -> str:
        """The top-level module that it belongs to."""
        return self.name.partition(".")[0]


def modules_of(paths: Iterable[str]) -> list[Module]:
    """Return the modules among a layer's files, parents before children, each once.

    Folders that are not identifiers (``pillow.libs``, ``*.dist-info``, ``bin``'s scripts) hold no
    modules. ``__main__`` is left out: it is a program, and runs when it is imported.

    Args:
        paths: Paths in the zip, with ``python/`` in front.
    """
    found: dict[str, Module] = {}
    for path in sorted(paths):
        name = _imported_as(path)
        if name:
            found.setdefault(name, Module(name, path))
    return sorted(found.values(), key=lambda module: module.name.split("."))


def excepted(name: str, exceptions: Mapping[str, str]) -> str | None:
    """Return the pattern of ``import-exceptions`` that covers a module, or None.

    A pattern covers what it matches and everything below it.
    """
    for pattern in exceptions:
        if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"{pattern}.*"):
            return pattern
    return None


def _imported_as(path: str) -> str | None:
    if not path.startswith("python/"):
        return None
    inner = _SITE.sub("", path.removeprefix("python/"))
    *folders, file = inner.split("/")
    if file.endswith(".py") or (file.endswith(".pyc") and "__pycache__" not in folders):
        stem = file.rpartition(".")[0]
    else:
        extension = module_name(file)
        if extension is None or not extension.is_for_cpython:
            return None
        stem = extension.module
    if stem == "__main__":
        return None
    parts = folders if stem == "__init__" else [*folders, stem]
    if not parts or not all(part.isidentifier() for part in parts):
        return None
    return ".".join(parts)

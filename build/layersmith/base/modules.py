"""Names of extension modules: which Python and which platform will look for them.

CPython's import system tries the suffixes of ``importlib.machinery.EXTENSION_SUFFIXES``: on
Linux ``.cpython-313-aarch64-linux-gnu.so`` (PEP 3149, with the platform triplet), ``.abi3.so``
(PEP 384) and ``.so``. A file with any other suffix is not found, whatever it holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith.base import architectures

if TYPE_CHECKING:
    from layersmith.base.runtimes import Runtime

_EXTENSION = re.compile(
    r"^(?P<module>[A-Za-z_]\w*)"
    r"(?:\.(?P<tag>abi3|cpython-(?P<python>\d+)(?P<flags>[a-z]*)(?:-(?P<platform>[\w-]+))?"
    r"|pypy(?P<pypy>\d+)-[\w-]+))?\.so$"
)
_COMPILED = re.compile(r"\.(?:abi3|cpython-\d+[^.]*)(?=\.(?:so|pyc)$)")
_NATIVE = re.compile(r"\.so\.[^/]*$|\.(?:so|a|dylib)$")
_OTHER_SYSTEM = re.compile(r"^(?P<module>[A-Za-z_]\w*)\.(?P<tag>[\w-]+)\.pyd$")


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

"""Names of extension modules: which Python and which platform will look for them.

CPython's import system tries the suffixes of ``importlib.machinery.EXTENSION_SUFFIXES``: on
Linux ``.cpython-313-aarch64-linux-gnu.so`` (PEP 3149, with the platform triplet), ``.abi3.so``
(PEP 384) and ``.so``. A file with any other suffix is not found, whatever it holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_EXTENSION = re.compile(
    r"^(?P<module>[A-Za-z_]\w*)"
    r"(?:\.(?P<tag>abi3|cpython-(?P<python>\d+)(?P<flags>[a-z]*)(?:-(?P<platform>[\w-]+))?"
    r"|pypy(?P<pypy>\d+)-[\w-]+))?\.so$"
)
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


def is_shared_library(path: str) -> bool:
    """Whether a name is that of a shared library or extension module: ``.so``, ``.so.1.2``."""
    return re.search(r"\.so(\.\d+)*$", path) is not None

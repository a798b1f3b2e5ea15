"""Judges where files lie and in which form: paths, modes, links, bytecode, scripts.

What only an archive has, modes, links and doubled paths, is judged while a finished layer is read.
"""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING

from layersmith.assemble import wheel
from layersmith.assemble.tree import PREFIX, Entry
from layersmith.audit import policy
from layersmith.audit.findings import Finding, Severity
from layersmith.base.zips import EXECUTABLE_MODE, FILE_MODE
from layersmith.errors import BuildError

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator
    from pathlib import Path

    from layersmith.audit.content import Content

DEEP = re.compile(r"^python/(?:lib/python(?P<version>[\d.]+)/site-packages|python)/")
"""A folder of packages below the one that a layer should use."""

CACHED = re.compile(
    r"^(?P<folder>.*/)?__pycache__/(?P<module>[^/]+?)\.(?P<tag>[\w-]+?)(\.opt-\d)?\.pyc$"
)
"""Bytecode beside its source (PEP 3147)."""

PYC_HASHED, PYC_CHECKED = 0b01, 0b10
"""Flags of a .pyc file: judged by hash, and whether on every import (PEP 552)."""

INTERPRETERS = re.compile(rb"^#!\s*(/usr/bin/env\s|/(usr/)?bin/(ba|da)?sh\b|/var/lang/bin/python)")
"""First lines of scripts that name an interpreter which the runtime has."""


def check(content: Content) -> Iterator[Finding]:
    """Yield what is wrong with the layout of a layer."""
    if not content.files:
        yield Finding(
            code="LAYOUT-EMPTY",
            severity=Severity.ERROR,
            what="the layer holds no file, and AWS refuses an empty zip",
            cause="all of it was left out, or the zip was made of an empty folder",
            next="put packages into python/ of the zip, or drop the layer",
        )
    yield from _depth(content)
    yield from _case(content)
    for path in content.files:
        if path.endswith(".pth"):
            yield _path_file(content, path)
        elif path.endswith(".pyc"):
            yield from _bytecode(content, path)
    for path, head in content.heads.items():
        if head.startswith(b"#!") and (_in_bin(path) or _is_executable(content, path)):
            yield from _shebang(content, path, head)


def _in_bin(path: str) -> bool:
    """Whether a file lies where programs are looked for."""
    return path.startswith(("bin/", f"{PREFIX}bin/"))


def _is_executable(content: Content, path: str) -> bool:
    """Whether a file is executable and not a module."""
    return content.files[path].executable and not path.endswith(".py")


def _finding(  # noqa: PLR0917 -- the fields of a finding, in their order
    content: Content, code: str, severity: Severity, path: str, what: str, cause: str, step: str
) -> Finding:
    return Finding(
        code=code,
        severity=severity,
        path=path,
        distribution=content.owner(path),
        what=what,
        cause=cause,
        next=step,
    )


def _depth(content: Content) -> Iterator[Finding]:
    """Yield one finding for each folder with packages in the wrong place."""
    folders: dict[str, str] = {}
    for path in content.files:
        deep = DEEP.match(path)
        if not _is_code(path):
            continue
        if deep:
            folders.setdefault(deep[0], path)
        elif not path.startswith(PREFIX):
            folders.setdefault(path.split("/", 1)[0] + "/" if "/" in path else "/", path)
    for folder, example in folders.items():
        yield _finding(
            content,
            "LAYOUT-DEPTH",
            Severity.ERROR,
            example,
            f"packages lie in {folder} of the layer, such as {example}",
            _why_deep(content, folder),
            "put them straight into python/ of the zip",
        )


def _is_code(path: str) -> bool:
    first = path.split("/", 1)[0]
    if first in {"bin", "lib", "extensions"}:
        return False
    return path.endswith((".py", ".so", ".dist-info/METADATA"))


def _why_deep(content: Content, folder: str) -> str:
    deep = DEEP.match(folder)
    if deep is None:
        return "the zip was made from inside the folder of packages, without python/ in front"
    version = deep["version"]
    if version is None:
        return "python/ was put in front twice; nothing looks there"
    if version != content.runtime.python_version:
        return f"the layer was laid out for Python {version}; {content.runtime.name} ignores it"
    return "it was copied from a virtual environment; the layer would fit only one Python version"


def _case(content: Content) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for path in content.files:
        other = seen.setdefault(path.casefold(), path)
        if other != path:
            yield _finding(
                content,
                "PATH-CASE",
                Severity.WARNING,
                path,
                f"{path} and {other} differ only in case",
                "two distributions, or two versions of one, spell a folder differently",
                "exclude one of them; unpacked on macOS or Windows one file hides the other",
            )


def _path_file(content: Content, path: str) -> Finding:
    name = path.rsplit("/", 1)[-1]
    if name.startswith(("__editable__", "_editable")) or name == "easy-install.pth":
        return _finding(
            content,
            "LAYOUT-EDITABLE",
            Severity.ERROR,
            path,
            f"{path} is an editable install: the package itself is not in the layer",
            "a local package was installed with -e",
            "list its folder under `packages:`; the build makes a wheel of it",
        )
    return _finding(
        content,
        "LAYOUT-PTH",
        Severity.WARNING,
        path,
        f"{path} will not be read: Python reads .pth files only in site-packages",
        "the distribution expects to be installed in site-packages",
        f"prove it with `python build/layers.py smoke`, and leave it out: prune: add: "
        f"[{path.removeprefix(PREFIX)}]",
    )


def _bytecode(content: Content, path: str) -> Iterator[Finding]:
    head = content.heads.get(path, b"")
    cached = CACHED.match(path)
    if head[:4] != policy.magic(content.runtime) or len(head) < 16:
        yield _finding(
            content,
            "PYC-MAGIC",
            Severity.WARNING if cached else Severity.ERROR,
            path,
            f"{path} is not bytecode of {content.runtime.name}",
            "it was compiled by another Python version, e.g. the one that installed the wheel",
            "build again: the bytecode of wheels is pruned, and compiled for the target",
        )
        return
    if cached is None:
        # In the place of its source: Python has nothing to compare it with.
        return
    yield from _invalidation(content, path, int.from_bytes(head[4:8], "little"))
    if f"{cached['folder'] or ''}{cached['module']}.py" not in content.files:
        yield _finding(
            content,
            "PYC-ORPHAN",
            Severity.WARNING,
            path,
            f"{path} has no source beside its folder, so Python never reads it",
            "the source was pruned, or a module was renamed",
            "prune it, or choose `bytecode: only`, which puts bytecode in the place of sources",
        )


def _invalidation(content: Content, path: str, flags: int) -> Iterator[Finding]:
    if not flags & PYC_HASHED:
        yield _finding(
            content,
            "PYC-TIMESTAMP",
            Severity.ERROR,
            path,
            f"{path} is valid for one modification time of its source; in a zip with fixed dates "
            "Python compiles the source again on every cold start",
            "it was compiled with the default of compileall (PEP 552, timestamp)",
            "compile with unchecked-hash, as `bytecode: unchecked-hash` does",
        )
    elif flags & PYC_CHECKED:
        yield _finding(
            content,
            "PYC-CHECKED",
            Severity.WARNING,
            path,
            f"{path} makes Python read and hash its source on every import",
            "it was compiled with checked-hash (PEP 552)",
            "compile with unchecked-hash, as `bytecode: unchecked-hash` does",
        )


def _shebang(content: Content, path: str, head: bytes) -> Iterator[Finding]:
    line = head.split(b"\n", 1)[0]
    if not INTERPRETERS.match(line):
        yield _finding(
            content,
            "SHEBANG",
            # Among a package's data lie templates, too, that other machines start.
            Severity.ERROR if _in_bin(path) else Severity.WARNING,
            path,
            f"{path} starts with {line.decode('utf-8', 'replace').strip()}",
            "an installer wrote the path of the build machine's interpreter into a console script",
            "leave bin/ out (the default rule `scripts`), or start it as `python -m MODULE`",
        )


def open_zip(path: Path, above: str = "") -> tuple[list[Entry], list[Finding]]:
    """Return the files of a layer's zip, and what is wrong with the archive itself.

    Args:
        path: The zip.
        above: What is put in front of every path: the folder of packages, whose content the zip
            of a function has at its root.

    Raises:
        BuildError: The file is missing, is not a zip, or cannot be read.
    """
    if not path.is_file():
        raise BuildError(
            f"{path} does not exist",
            cause="the layer has not been built",
            hint="run `nox -s build`, or name the zip",
        )
    infos = wheel.directory(path)
    members = wheel.locate(path, infos)
    entries = [
        Entry(above + info.filename, members[info.filename], "", bool(_mode(info) & 0o111))
        for info in infos
    ]
    return entries, list(_archive(infos))


def _mode(info: zipfile.ZipInfo) -> int:
    return info.external_attr >> 16


def _archive(infos: list[zipfile.ZipInfo]) -> Iterator[Finding]:
    seen: set[str] = set()
    for info in infos:
        name = info.filename
        if name in seen:
            yield _in_archive("PATH-TWICE", name, "two distributions own it, or it was appended")
        seen.add(name)
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            yield _in_archive("PATH-UNSAFE", name, "the zip was made on Windows, or by hand")
        mode = _mode(info)
        if stat.S_ISLNK(mode):
            yield _in_archive("SYMLINK", name, "it was zipped with links kept (zip -y)")
        elif stat.S_IMODE(mode) not in {FILE_MODE, EXECUTABLE_MODE}:
            yield _in_archive(
                "MODE", name, _mode_cause(mode), f" has the mode {stat.S_IMODE(mode):04o}"
            )


def _mode_cause(mode: int) -> str:
    if mode == 0:
        return "the zip was made where files have no modes; Lambda's user may not read it"
    return "the umask or the file system of the build machine; Lambda runs as another user"


_WHAT = {
    "PATH-TWICE": " is in the zip more than once",
    "PATH-UNSAFE": " is not a plain relative path",
    "SYMLINK": " is a symbolic link",
}


def _in_archive(code: str, path: str, cause: str, what: str = "") -> Finding:
    return Finding(
        code=code,
        severity=Severity.ERROR,
        path=path,
        what=path + (what or _WHAT[code]),
        cause=cause,
        next="build it with `python build/layers.py build`, which writes only modes 0644 and 0755",
    )

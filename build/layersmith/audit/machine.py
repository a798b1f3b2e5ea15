"""Judges what a native file is: whole, for this machine, under a name that Python looks for."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from layersmith.assemble.tree import PREFIX
from layersmith.audit.findings import Finding, Severity
from layersmith.base import architectures, elf, modules
from layersmith.base.modules import ModuleName, module_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layersmith.audit.content import Content
    from layersmith.base.elf import ElfFacts

FOREIGN_MAGIC = {
    b"MZ": "Windows",
    b"\xcf\xfa\xed\xfe": "macOS",
    b"\xce\xfa\xed\xfe": "macOS",
    b"\xca\xfe\xba\xbe": "macOS",
}
"""First bytes of PE and Mach-O files (Mach-O: 64-bit, 32-bit, universal)."""


MACHINE_WORD = re.compile(
    r"[-_.]?(?:aarch64|arm64|armv\d\w*|armhf|x86[-_]64|amd64|x64|x86|i[36]86|ppc64le|s390x|riscv64)"
)
"""How packages that bring programs for every machine tell them apart by name."""


def check(content: Content) -> Iterator[Finding]:
    """Yield native files that are damaged, or for another machine, system or Python."""
    for path, reason in content.damaged.items():
        yield _damaged(content, path, reason)
    for path, head in content.heads.items():
        yield from _foreign(content, path, head)
    for path, facts in content.elves.items():
        if fits_machine(content, facts):
            yield from _name(content, path, facts)
        else:
            yield _machine(content, path, facts)


def fits_machine(content: Content, facts: ElfFacts) -> bool:
    """Whether the loader of the layer's architecture takes a file at all."""
    wanted = architectures.get(content.architecture).wheel
    return facts.machine == wanted and facts.bits == 64 and facts.little_endian


def symptom(path: str) -> str:
    """Return what Python says when it cannot find an extension module."""
    package, _, _ = path.removeprefix(PREFIX).rpartition("/")
    name = module_name(path)
    module = name.module if name else posixpath.basename(path)
    if package:
        return f"cannot import name '{module}' from '{package.replace('/', '.')}'"
    return f"No module named '{module}'"


def _damaged(content: Content, path: str, reason: str) -> Finding:
    return Finding(
        code="ELF-DAMAGED",
        severity=Severity.ERROR,
        path=path,
        distribution=content.owner(path),
        what=f"{path} is a damaged ELF file: {reason}",
        cause="the download or a tool that rewrote it was cut short",
        next="clear the cache and build again; if it stays, report it to the distribution",
    )


def _foreign(content: Content, path: str, head: bytes) -> Iterator[Finding]:
    system = next((name for magic, name in FOREIGN_MAGIC.items() if head.startswith(magic)), None)
    if system is None or path.endswith(".class"):
        return
    name = module_name(path)
    yield Finding(
        code="ELF-FOREIGN",
        severity=Severity.ERROR if name else Severity.WARNING,
        path=path,
        distribution=content.owner(path),
        what=f"{path} is a native file for {system}"
        + (f"; Python fails with: {symptom(path)}" if name else ""),
        cause=f"the wheel is for {system}" if name else "the wheel carries files for every system",
        next="build from the target's lock, which takes only wheels for Linux"
        if name
        else f"leave it out: prune: add: [{path.removeprefix(PREFIX)}]",
    )


def _machine(content: Content, path: str, facts: ElfFacts) -> Finding:
    wanted = architectures.get(content.architecture).wheel
    same = facts.machine == wanted
    order = "" if facts.little_endian else ", big-endian"
    layer = content.architecture if content.architecture == wanted else f"arm64 ({wanted})"
    is_what = f"{facts.bits}-bit{order}" if same else f"built for {facts.machine}"
    name = module_name(path)
    cause = _machine_cause(content, path, facts, name)
    spare = _spare(content, path, facts, name)
    return Finding(
        code="ELF-CLASS" if same else "ELF-MACHINE",
        severity=Severity.WARNING if spare else Severity.ERROR,
        path=path,
        distribution=content.owner(path),
        what=f"{path} is {is_what}, the layer is for {layer}; "
        + (spare or f"Python fails with: {_load_error(content, path, name)}"),
        cause=cause,
        next=f"leave it out: prune: add: [{path.removeprefix(PREFIX)}]"
        if spare
        else _machine_next(content, path),
    )


def _spare(content: Content, path: str, facts: ElfFacts, name: ModuleName | None) -> str | None:
    """Return why a foreign file breaks nothing, or None.

    A package for every machine picks one of several files of the same name; code for a GPU or the
    kernel only looks like a native file.
    """
    if name is not None and (name.tag or _says(content, name)):
        return None
    if facts.kind not in {"ET_DYN", "ET_EXEC"} or facts.machine not in elf.MACHINES.values():
        return "nothing can load it as code of this machine"
    base, owner = posixpath.basename(path), content.owner(path)
    fitting = next(
        (
            other
            for other, found in content.elves.items()
            if _without_machine(posixpath.basename(other)) == _without_machine(base)
            and content.owner(other) == owner
            and fits_machine(content, found)
        ),
        None,
    )
    return f"{fitting} is the one that fits" if fitting else None


def _without_machine(name: str) -> str:
    return MACHINE_WORD.sub("", name.lower())


def _machine_next(content: Content, path: str) -> str:
    if not _others_fit(content, path):
        return "build from the target's lock, which takes only wheels for the target"
    if _says(content, module_name(path)):
        return "build again from the wheel"
    return (
        "if its package picks a file at run time, leave this one out: prune: add: "
        f"[{path.removeprefix(PREFIX)}]"
    )


def _says(content: Content, name: ModuleName | None) -> bool:
    """Whether a name says that the file fits the layer."""
    return name is not None and name.platform == architectures.get(content.architecture).triplet


def _others_fit(content: Content, path: str) -> bool:
    """Whether the distribution of a foreign file also brings files that fit."""
    owner = content.owner(path)
    return any(
        content.owner(other) == owner and fits_machine(content, facts)
        for other, facts in content.elves.items()
    )


def _load_error(content: Content, path: str, name: ModuleName | None) -> str:
    if name and name.platform not in {None, architectures.get(content.architecture).triplet}:
        return symptom(path)
    return f"{posixpath.basename(path)}: cannot open shared object file"


def _machine_cause(content: Content, path: str, facts: ElfFacts, name: ModuleName | None) -> str:
    """Tell apart a foreign wheel, a renamed file and a wheel with a false tag."""
    wanted = architectures.get(content.architecture).wheel
    owner = content.owner(path)
    distribution = content.distributions.get(owner or "")
    says_wanted = _says(content, name)
    inner = path.removeprefix(distribution.root if distribution else PREFIX)
    if says_wanted and distribution and inner not in distribution.record:
        return (
            f"its name says {wanted}, and {owner}'s RECORD does not list it: an {facts.machine} "
            "file was renamed or copied in"
        )
    if says_wanted and _others_fit(content, path):
        return (
            f"the other files of {owner or 'its distribution'} fit: this one was replaced by one "
            f"for {facts.machine}, renamed or copied over"
        )
    tags = distribution.tags if distribution else ()
    if any(tag.endswith(facts.machine) for tag in tags):
        return f"the wheel of {owner} is for {facts.machine}: it was installed for another machine"
    if any(tag.endswith(wanted) for tag in tags):
        return f"the wheel of {owner} has the tag {tags[0]}, but what it holds is {facts.machine}"
    if any(tag.endswith("-any") for tag in tags):
        return f"the wheel of {owner} says it fits any machine, and holds {facts.machine} files"
    return f"it comes from a machine with {facts.machine}, or from a wheel for one"


def _name(content: Content, path: str, facts: ElfFacts) -> Iterator[Finding]:
    name = module_name(path)
    if name is None or name.tag is None:
        return
    code = _name_code(content, name)
    if code:
        yield _misnamed(content, path, name, code)
    elif facts.initializer is False:
        yield Finding(
            code="EXT-INIT",
            severity=Severity.WARNING,
            path=path,
            distribution=content.owner(path),
            what=f"{path} does not define PyInit_{name.module}",
            cause="it was renamed from another module, or is a library that only ctypes loads",
            next="prove it: `python build/layers.py smoke` imports every module",
        )


def _name_code(content: Content, name: ModuleName) -> str | None:
    minor = f"3{content.runtime.minor}"
    if name.python is not None and (name.python != minor or name.flags):
        return "EXT-PYTHON"
    if (
        name.platform is not None
        and name.platform != architectures.get(content.architecture).triplet
    ):
        return "EXT-PLATFORM"
    return None


def _misnamed(content: Content, path: str, name: ModuleName, code: str) -> Finding:
    other = _usable_sibling(content, path, name)
    runtime = content.runtime.name
    return Finding(
        code=code,
        severity=Severity.WARNING if other else Severity.ERROR,
        path=path,
        distribution=content.owner(path),
        what=f"{path} is for {_for_whom(name, code)}, and {runtime} on {content.architecture} "
        + ("takes another file in its place" if other else f"will say: {symptom(path)}"),
        cause=f"the wheel is for {_for_whom(name, code)}: it was installed by, or for, another "
        "Python",
        next=f"leave it out: prune: add: [{path.removeprefix(PREFIX)}]"
        if other
        else f"lock and build for {runtime}; `python build/layers.py lock` takes the right wheel",
    )


def _for_whom(name: ModuleName, code: str) -> str:
    if code == "EXT-PLATFORM":
        return f"the platform {name.platform}"
    python = name.python or ""
    if python.startswith("pypy"):
        return f"PyPy {python.removeprefix('pypy')}"
    version = f"CPython {python[0]}.{python[1:]}"
    return f"{version} without the GIL" if "t" in name.flags else version


def _usable_sibling(content: Content, path: str, name: ModuleName) -> str | None:
    """Return the file that Python takes for the same module, or None."""
    stem = f"{posixpath.dirname(path)}/{name.module}"
    ends = (*modules.suffixes(content.runtime, content.architecture), ".py")
    return next((stem + end for end in ends if stem + end in content.files), None)

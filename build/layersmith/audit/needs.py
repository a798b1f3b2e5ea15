"""Judges what a native file needs: libraries, symbol versions, search paths, its stack.

The library that it gets is found in the order of glibc's loader (ld.so(8)): DT_RPATH of the file
and of whoever loaded it, LD_LIBRARY_PATH (on Lambda it holds /opt/lib), DT_RUNPATH of the file,
then the folders of the system.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from layersmith.assemble.tree import PREFIX
from layersmith.audit import policy
from layersmith.audit.findings import Finding, Severity
from layersmith.audit.machine import fits_machine
from layersmith.audit.policy import LIBRARY_PATH
from layersmith.audit.uses import Uses
from layersmith.base import modules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layersmith.audit.content import Content
    from layersmith.base.elf import ElfFacts

ROOT = "/opt"
"""Where Lambda unpacks layers."""

_ORIGIN = re.compile(r"\$(?:ORIGIN\b|\{ORIGIN\})")


class Links:
    """Which file of a layer satisfies which need.

    Args:
        elves: Facts of the ELF files by path in the layer.
        paths: All paths of the layer; a library that is damaged is still found.
    """

    def __init__(self, elves: Mapping[str, ElfFacts], paths: Mapping[str, object]) -> None:
        self._elves = elves
        self._paths = paths

    def find(self, path: str, library: str) -> str | None:
        """Return the file of the layer that ``path`` gets for ``library``, or None."""
        if "/" in library:
            inside = self._inside(library)
            return inside if inside in self._paths else None
        for folder in self._folders(path):
            candidate = posixpath.join(folder, library) if folder else library
            if candidate in self._paths:
                return candidate
        return None

    def elsewhere(self, library: str) -> str | None:
        """Return a file of that name anywhere in the layer, or None."""
        return next(iter(self._by_name.get(library, ())), None)

    def _folders(self, path: str) -> Iterator[str]:
        facts = self._elves[path]
        if not facts.runpath:
            # A file with DT_RUNPATH ignores every DT_RPATH, its own and inherited.
            for loader in self._loaders(path):
                if not self._elves[loader].runpath:
                    yield from self._expand(loader, self._elves[loader].rpath)
        yield from LIBRARY_PATH
        yield from self._expand(path, facts.runpath)

    def _loaders(self, path: str) -> Iterator[str]:
        """Yield the file and everything that may have loaded it, nearest first."""
        seen, queue = {path}, [path]
        while queue:
            current = queue.pop(0)
            yield current
            for user in self._users.get(posixpath.basename(current), ()):
                if user not in seen:
                    seen.add(user)
                    queue.append(user)

    def _expand(self, path: str, folders: tuple[str, ...]) -> Iterator[str]:
        here = posixpath.dirname(posixpath.join(ROOT, path))
        for folder in folders:
            inside = self._inside(_ORIGIN.sub(lambda _: here, folder))
            if inside is not None:
                yield inside

    @staticmethod
    def _inside(path: str) -> str | None:
        """Return an absolute path relative to the layer, or None if it leaves the layer."""
        normal = posixpath.normpath(path)
        if normal == ROOT:
            return ""
        return normal.removeprefix(ROOT + "/") if normal.startswith(ROOT + "/") else None

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        for path in sorted(self._elves):
            names.setdefault(posixpath.basename(path), []).append(path)
        return names

    @cached_property
    def _users(self) -> dict[str, list[str]]:
        users: dict[str, list[str]] = {}
        for path, facts in sorted(self._elves.items()):
            for library in facts.needed:
                users.setdefault(library, []).append(path)
        return users


def is_absolute(folder: str) -> bool:
    """Whether a search path names a folder outside the layer for certain."""
    return not _ORIGIN.match(folder) and not (folder + "/").startswith(ROOT + "/")


RELOCATABLE = "ET_REL"
"""Object files: nothing loads them."""

MUSL = ("libc.musl-", "ld-musl-")
"""Beginnings of the names of Alpine Linux's C library and its loader."""

BUNDLE = (
    "take a manylinux wheel, put the library into lib/ by `files`, or name the layer that has it "
    "under `beside`"
)
PROVE = "prove it: `python build/layers.py smoke` imports every module"


def check(content: Content) -> Iterator[Finding]:
    """Yield what the native files of a layer need and will not get.

    A file for another machine is left out: what it needs says nothing more about the cause.

    Args:
        content: The layer.
    """
    links, uses = Links(content.elves, content.files), Uses(content)
    for path, facts in content.elves.items():
        if fits_machine(content, facts) and facts.kind != RELOCATABLE:
            yield from _libraries(content, path, links, uses)
            yield from _versions(content, path, facts, links)
            yield from _hardening(content, path, facts)


def highest(content: Content) -> dict[str, tuple[int, ...]]:
    """Return the highest version needed from the runtime by prefix, for the prefixes of policy."""
    links = Links(content.elves, content.files)
    known = policy.of(content.runtime, content.architecture).versions
    result: dict[str, tuple[int, ...]] = {}
    for path, facts in content.elves.items():
        for library, names in facts.versions.items():
            if links.find(path, library) is not None or library in content.beside:
                continue
            for prefix, number in filter(None, map(policy.comparable, names)):
                if prefix in known:
                    result[prefix] = max(number, result.get(prefix, number))
    return dict(sorted(result.items()))


def _libraries(content: Content, path: str, links: Links, uses: Uses) -> Iterator[Finding]:
    rules = policy.of(content.runtime, content.architecture)
    facts = content.elves[path]
    missing = [
        library
        for library in facts.needed
        if links.find(path, library) is None
        and library not in rules.libraries
        and library not in content.beside
    ]
    found = [_weighed(explain(content, path, library, links), uses) for library in missing]
    yield from found
    absolute = next(filter(is_absolute, (*facts.rpath, *facts.runpath)), None)
    if absolute and missing:
        # A folder that is not there costs nothing, unless something was to come from it.
        yield Finding(
            code="RPATH-ABSOLUTE",
            severity=min(one.severity for one in found),
            path=path,
            distribution=content.owner(path),
            what=f"{path} searches {absolute} for {', '.join(missing)}",
            cause="a path of the machine that built it was left in RPATH or RUNPATH",
            next="take a wheel that auditwheel has repaired, or link with $ORIGIN",
        )


def _weighed(finding: Finding, uses: Uses) -> Finding:
    """Return a finding about a library as a warning where its file is loaded on request alone."""
    path = finding.path or ""
    if finding.severity is not Severity.ERROR or not uses.on_request(path):
        return finding
    return finding.model_copy(
        update={
            "severity": Severity.WARNING,
            "cause": f"{finding.cause}; nothing loads the file when its package is imported",
            "next": f"if nobody calls it, leave it out: prune: add: "
            f"[{path.removeprefix(PREFIX)}]; otherwise {finding.next}",
        }
    )


def _versions(content: Content, path: str, facts: ElfFacts, links: Links) -> Iterator[Finding]:
    for library, names in facts.versions.items():
        own = links.find(path, library)
        if own is None and library in content.beside:
            # Which versions it defines is for the audit of its own layer, and for the proofs.
            continue
        if own is None:
            yield from _too_new(content, path, library, names)
            continue
        provider = content.elves.get(own)
        lost = sorted(set(names) - provider.defines) if provider and provider.defines else []
        if lost:
            yield Finding(
                code="VERSION-OWN",
                severity=Severity.ERROR,
                path=path,
                distribution=content.owner(path),
                what=f"{path} needs {lost[-1]} of {own}, which does not define it",
                cause="the library comes from another build than the file that needs it",
                next="take both from one wheel",
            )


def _too_new(
    content: Content, path: str, library: str, names: tuple[str, ...]
) -> Iterator[Finding]:
    rules = policy.of(content.runtime, content.architecture)
    worst: dict[str, tuple[tuple[int, ...], str]] = {}
    for name in names:
        found = policy.comparable(name)
        if found and found[1] > rules.versions.get(found[0], found[1]):
            worst[found[0]] = max((found[1], name), worst.get(found[0], ((), "")))
    for prefix, (_, name) in worst.items():
        ceiling = ".".join(map(str, rules.versions[prefix]))
        yield Finding(
            code=f"VERSION-{prefix}",
            severity=Severity.ERROR,
            path=path,
            distribution=content.owner(path),
            what=f"{path} needs {name} of {library}; {content.runtime.name} ({rules.title}) "
            f"ends at {prefix}_{ceiling}; Python fails with: version `{name}' not found",
            cause=f"it was compiled on a newer system than {rules.title}",
            next="take a wheel with an older manylinux tag, or compile it for the target's glibc "
            f"{'.'.join(map(str, content.runtime.glibc))}",
        )


def _hardening(content: Content, path: str, facts: ElfFacts) -> Iterator[Finding]:
    # Without PT_GNU_STACK, glibc takes the architecture's default: executable on x86_64, not on
    # arm64 (glibc, sysdeps/*/stackinfo.h).
    default = content.architecture == "x86_64"
    if facts.executable_stack or (facts.executable_stack is None and default):
        yield Finding(
            code="STACK-EXECUTABLE",
            severity=Severity.ERROR,
            path=path,
            distribution=content.owner(path),
            what=f"{path} asks for an executable stack",
            cause="an assembler file without .note.GNU-stack, or the linker option -z execstack",
            next="take another build of it; newer systems refuse to load it at all",
        )


@dataclass(frozen=True)
class _Why:
    cause: str
    next: str
    what: str | None = None
    code: str = "NEEDED-MISSING"
    severity: Severity = Severity.ERROR


def explain(content: Content, path: str, library: str, links: Links) -> Finding:
    """Return the finding about a library that neither the layer nor a promise provides.

    Args:
        content: The layer.
        path: The file that needs the library.
        library: Its name in DT_NEEDED.
        links: The search paths of the layer.
    """
    why = (
        _pruned(content, library)
        or _unreachable(library, links)
        or _system(content, library)
        or _other_python(content, library)
        or _deleted(content, path, library)
        or _Why("it was built on a machine that has it, and never repaired by auditwheel", BUNDLE)
    )
    needs = f"{path} needs {library}"
    said = f"; Python fails with: {library}: cannot open shared object file"
    return Finding(
        code=why.code,
        severity=why.severity,
        path=path,
        distribution=content.owner(path),
        what=needs + (why.what or said),
        cause=why.cause,
        next=why.next,
    )


def _system(content: Content, library: str) -> _Why | None:
    rules = policy.of(content.runtime, content.architecture)
    known = rules.incidental.get(library)
    if known is not None:
        return _Why(
            "it was built without bundling its libraries (auditwheel repair)",
            BUNDLE + f": {rules.title} has it in the package {known.package}",
            f", which is in the base image of {content.runtime.name} and not promised: functions "
            "on Lambda may lack it",
            "NEEDED-INCIDENTAL",
        )
    if library.startswith(MUSL):
        return _Why(
            "the wheel is for Alpine Linux (musllinux)",
            "build from the target's lock, which takes manylinux wheels",
            f", musl's C library; {rules.title} has glibc",
            "NEEDED-MUSL",
        )
    return None


def _pruned(content: Content, library: str) -> _Why | None:
    path = next((one for one in content.removed if posixpath.basename(one) == library), None)
    if path is None:
        return None
    return _Why(
        f"the prune rule {content.removed[path]!r} removed {path}",
        f"keep it: prune: keep: [{path.removeprefix(PREFIX)}]",
    )


def _unreachable(library: str, links: Links) -> _Why | None:
    elsewhere = links.elsewhere(library)
    if elsewhere is None:
        return None
    what = f", and no search path leads to {elsewhere}"
    if modules.GRAFTED.search(elsewhere):
        return _Why("its RPATH was lost or replaced", "take the file as its wheel holds it", what)
    return _Why(
        "its package loads the library first by other means, or its RPATH was lost",
        PROVE,
        what,
        severity=Severity.WARNING,
    )


def _other_python(content: Content, library: str) -> _Why | None:
    if not library.startswith("libpython"):
        return None
    runtime = content.runtime.name
    return _Why(
        f"it is linked against another Python than {runtime}", f"lock and build for {runtime}"
    )


def _deleted(content: Content, path: str, library: str) -> _Why | None:
    """Explain a library that was meant to be in the layer: by a search path, or by RECORD."""
    facts = content.elves[path]
    distribution = content.distributions.get(content.owner(path) or "")
    recorded = distribution.record if distribution else ()
    listed = next((one for one in recorded if posixpath.basename(one) == library), None)
    folders = [one for one in (*facts.rpath, *facts.runpath) if not is_absolute(one)]
    if not folders and listed is None:
        return None
    here = posixpath.dirname(path)
    folder = folders[0] if folders else posixpath.dirname(PREFIX + (listed or ""))
    place = posixpath.normpath(folder.replace("${ORIGIN}", here).replace("$ORIGIN", here or "."))
    if listed is None and any(one.startswith(f"{place}/") for one in content.files):
        return None
    return _Why(
        f"the folder that held it ({place}) was deleted or not packed",
        "build again from the wheel; never delete *.libs folders",
    )

"""What the audit found: findings, what layers.yaml accepts of them, and the report.

The report is printed or written as JSON.
"""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from layersmith.assemble.manifest import AuditRecord
from layersmith.assemble.tree import PREFIX
from layersmith.base.models import StrictModel
from layersmith.console import as_called
from layersmith.errors import AuditError, closest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    Place = tuple[Path, int, int]
    """File, line and column."""

CODES = {
    "PATH-UNSAFE": "a path leaves the layer, is absolute or has a backslash",
    "PATH-TWICE": "a path is in the archive more than once",
    "SYMLINK": "an entry is a symbolic link",
    "LAYOUT-DEPTH": "packages lie where Lambda's Python does not look, or should not have to",
    "LAYOUT-EMPTY": "the layer holds no file",
    "ELF-DAMAGED": "a native file is cut short or contradicts itself",
    "ELF-CLASS": "a native file is not 64-bit little-endian",
    "ELF-MACHINE": "a native file is for another machine",
    "ELF-FOREIGN": "a native file is for macOS or Windows",
    "EXT-PYTHON": "an extension module's name is for another Python",
    "EXT-PLATFORM": "an extension module's name is for another platform",
    "EXT-INIT": "an extension module lacks the function that Python calls on import",
    "FILE-MISSING": "a distribution's RECORD lists a file that is not in the layer",
    "FILE-PRUNED": "a prune rule removed a native file",
    "RPATH-ABSOLUTE": "a library would come from a folder of the machine that built the file",
    "NEEDED-MISSING": "a library that a native file needs is nowhere",
    "NEEDED-MUSL": "a native file is built for musl, the C library of Alpine Linux",
    "NEEDED-INCIDENTAL": "a native file needs a library that the runtime has and does not promise",
    "LIBRARY-MISSING": "Python code loads a library by name, and nothing brings it",
    "VERSION-GLIBC": "a native file needs a newer C library",
    "VERSION-GLIBCXX": "a native file needs a newer C++ library",
    "VERSION-CXXABI": "a native file needs a newer C++ ABI",
    "VERSION-GCC": "a native file needs a newer libgcc",
    "VERSION-ZLIB": "a native file needs a newer zlib",
    "VERSION-OWN": "a library in the layer lacks a version that another file needs from it",
    "STACK-EXECUTABLE": "a native file asks for an executable stack",
    "LAYOUT-EDITABLE": "an editable install points to a folder of the build machine",
    "LAYOUT-PTH": "a .pth file, which Lambda does not read below /opt",
    "PYC-TIMESTAMP": "bytecode judged by a time stamp, which a reproducible zip does not keep",
    "PYC-CHECKED": "bytecode whose source is hashed on every import",
    "PYC-MAGIC": "bytecode of another Python",
    "PYC-ORPHAN": "bytecode in __pycache__ without its source is never read",
    "SHEBANG": "a script starts with an interpreter of the build machine",
    "MODE": "a file has a mode other than 0644 and 0755",
    "IMPORT-MISSING": "a requirement has nothing to import in the layer",
    "REQUIRES-UNMET": "a distribution requires what neither the layer nor the runtime brings",
    "IMPORT-FORBIDDEN": "the layer holds a module that layers.yaml forbids",
    "LICENSE-DENIED": "`licenses` denies the licence of a distribution, or does not allow it",
    "LICENSE-PART": "the SBOM inside a wheel names a licence that `licenses` does not let through",
    "LICENSE-UNKNOWN": "a distribution has no licence that `licenses` can be held against",
    "PATH-CASE": "two paths differ only in case",
    "SHADOW-RUNTIME": "the layer hides a module that the runtime provides",
    "SHADOW-STDLIB": "the layer hides a module of Python's standard library",
    "ACCEPT-UNUSED": "`accept` in layers.yaml names a finding that the audit does not have",
    "LAYERS-DIFFER": "two layers of one function hold one distribution or path differently",
    "MANAGED-CONFLICT": "a managed layer used beside this one holds the same distribution",
}
"""Every code of a finding and what it means; root causes come before their consequences."""

SHOWN = 5
"""Names of further files that a line of the report gives."""

_APART = frozenset({"LIBRARY-MISSING"})
"""Codes whose findings differ in more than their file, and in what to do about them."""

_ORDER = {code: place for place, code in enumerate(CODES)}


class Severity(StrEnum):
    """What a finding means for the build."""

    ERROR = "error"
    """The layer would fail, or could fail, in its runtime: the audit refuses it."""
    WARNING = "warning"
    """It works, and something about it will surprise."""


class Finding(StrictModel):
    """One thing that the audit found."""

    code: str
    """Stable name, a key of CODES."""
    severity: Severity
    path: str | None = None
    """File in the layer, ``python/PIL/_imaging.so``; None where it concerns the whole."""
    distribution: str | None = None
    """Normalized name of the distribution that brings it, where known."""
    what: str
    """What was found, in one sentence."""
    cause: str
    """The likely cause, in one sentence."""
    next: Annotated[str, AfterValidator(as_called)]
    """What to do next."""
    accepted: str | None = None
    """Reason for which `accept` in layers.yaml takes it; None where it counts."""
    key: str | None = None
    """Key of the layer in layers.yaml that it is judged by, ``licenses.deny``."""

    @property
    def subject(self) -> str:
        """What it is about: the path, or the distribution where there is none."""
        return self.path or self.distribution or ""


class AuditReport(StrictModel):
    """Everything that the audit says about one layer; versioned JSON."""

    format: Literal[1] = 1
    identifier: str
    """Target or file that was judged."""
    runtime: str
    architecture: str
    files: int
    """Number of files in the layer."""
    elf_files: int
    """Number of ELF files among them."""
    machines: list[str] = Field(default_factory=list)
    """Machines of the ELF files, as wheel tags spell them."""
    highest: dict[str, str] = Field(default_factory=dict)
    """Highest symbol version needed from the runtime by prefix: {"GLIBC": "2.28"}."""
    findings: list[Finding] = Field(default_factory=list)

    @property
    def errors(self) -> list[Finding]:
        """The findings for which the layer is refused."""
        return self._counting(Severity.ERROR)

    @property
    def warnings(self) -> list[Finding]:
        """The other findings that nobody accepted."""
        return self._counting(Severity.WARNING)

    @property
    def accepted(self) -> list[Finding]:
        """The findings that layers.yaml accepts."""
        return [one for one in self.findings if one.accepted is not None]

    def _counting(self, severity: Severity) -> list[Finding]:
        return [one for one in self.findings if one.severity is severity and one.accepted is None]

    @property
    def ok(self) -> bool:
        """Whether the layer may be shipped."""
        return not self.errors

    def record(self) -> AuditRecord:
        """Return what the manifest keeps of the audit."""
        return AuditRecord(
            elf_files=self.elf_files,
            machine=self.machines[0] if len(self.machines) == 1 else None,
            highest=self.highest,
            warnings=[f"{group[0].code}: {headline(group)}" for group in grouped(self.warnings)],
            accepted={
                f"{one.code} {one.subject}": one.accepted for one in self.findings if one.accepted
            },
        )

    def raise_for_errors(self, where: Callable[[str], Place] | None = None) -> None:
        """Do nothing for a layer that passed.

        Args:
            where: Returns the place of a key of the layer in layers.yaml.

        Raises:
            AuditError: With every error, equal ones of a distribution as one; the first one is
                the root cause where there is one.
        """
        groups = grouped(self.errors)
        if not groups:
            return
        told = [_told(group, where) for group in groups]
        lines = [line for line, _ in told]
        message = (
            lines[0]
            if len(lines) == 1
            else "\n    ".join(["the audit rejected this layer:", *lines])
        )
        first = groups[0][0]
        file, line, column = told[0][1] or (None, None, None)
        raise AuditError(
            message,
            target=self.identifier,
            cause=first.cause,
            hint=first.next,
            file=str(file) if file else None,
            line=line,
            column=column,
        )


def _told(group: list[Finding], where: Callable[[str], Place] | None) -> tuple[str, Place | None]:
    """Return one line for findings, and where in layers.yaml the key is that they break."""
    line, key = f"{group[0].code}: {headline(group)}", group[0].key
    if where is None or key is None:
        return line, None
    place = where(key)
    return f"{line} ({place[0].name}:{place[1]}:{place[2]})", place


def grouped(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Put findings of one code and distribution together, root causes first."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for one in sorted(findings, key=_key):
        apart = one.next if one.code in _APART else ""
        groups.setdefault((one.code, one.distribution or "", apart), []).append(one)
    return list(groups.values())


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings in the order of a report: errors, root causes, then paths."""
    return sorted(findings, key=lambda one: (one.severity, *_key(one)))


def headline(group: list[Finding]) -> str:
    """Return one line for findings of one code and distribution."""
    first = group[0]
    what = "; ".join(dict.fromkeys(one.what for one in group if one.path == first.path))
    paths = dict.fromkeys(one.path for one in group if one.path and one.path != first.path)
    if not paths:
        return what
    names = [path.rsplit("/", 1)[-1].split(".", 1)[0] for path in paths]
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    owner = f" of {first.distribution}" if first.distribution else ""
    plural = "s" if len(paths) > 1 else ""
    return f"{what} (and {len(paths)} more file{plural}{owner}: {shown})"


def _key(one: Finding) -> tuple[int, str, bool, str]:
    # Extension modules before the libraries they need: their names are what people search for.
    path = one.path or ""
    return (_ORDER[one.code], one.distribution or "", ".libs/" in path, path)


def with_accepted(findings: Iterable[Finding], accepted: Mapping[str, str]) -> list[Finding]:
    """Return findings with the reason in those that are accepted.

    Args:
        findings: What the audit found.
        accepted: Code and path (a glob, with or without python/ in front), or distribution where a
            finding has no path -> reason. A key that fits no finding becomes a finding.
    """
    found = list(findings)
    taken: set[str] = set()
    result = []
    for one in found:
        key = next((key for key in accepted if _fits(one, key)), None)
        if key is not None:
            taken.add(key)
        result.append(one.model_copy(update={"accepted": accepted[key]}) if key else one)
    return result + [_unused(key, found) for key in accepted if key not in taken]


def _fits(one: Finding, key: str) -> bool:
    code, _, pattern = key.partition(" ")
    subjects = (one.subject, one.subject.removeprefix(PREFIX))
    # A name may hold [ and ], which a glob reads as a choice.
    return code == one.code and any(
        pattern == name or fnmatchcase(name, pattern) for name in subjects
    )


def _unused(key: str, found: list[Finding]) -> Finding:
    names = sorted({f"{one.code} {one.subject}" for one in found if one.subject})
    close = closest(key, names)
    return Finding(
        code="ACCEPT-UNUSED",
        severity=Severity.WARNING,
        what=f"`accept` names {key!r}, and the audit finds nothing like it"
        + (f"; the closest is {close!r}" if close else ""),
        cause="the key is misspelt" if close else "what was wrong has been fixed since",
        next=f"did you mean {close!r}?" if close else "remove it from layers.yaml",
    )

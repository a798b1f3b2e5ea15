"""Judges distributions: complete, importable, allowed, and not in the way of the runtime's own.

Each has to find the distributions that it requires.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from layersmith.assemble.tree import PREFIX
from layersmith.audit.content import top_level
from layersmith.audit.findings import Finding, Severity
from layersmith.audit.machine import symptom
from layersmith.base import legacy, runtimes
from layersmith.base.modules import is_shared_library, module_name
from layersmith.base.runtimes import marker_environment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from layersmith.audit.content import Content, InstalledDistribution

TESTS = frozenset({"test", "tests", "_tests", "testing", "_testing"})
"""Folders that hold tests."""


def complete(content: Content, wished: Collection[str] = ()) -> Iterator[Finding]:
    """Yield files that a RECORD lists and that are neither there nor pruned on purpose.

    Args:
        content: The layer.
        wished: Prune rules of layers.yaml itself, of which nobody needs to be warned.
    """
    for distribution in content.distributions.values():
        for inner in distribution.record:
            path = distribution.root + inner
            if path in content.files or not _matters(inner):
                continue
            rule = content.removed.get(path)
            if rule is None:
                yield _missing(content, distribution, path)
            elif (
                rule not in wished
                and module_name(inner)
                and not TESTS.intersection(inner.lower().split("/"))
            ):
                yield _pruned(distribution, path, rule)


def importable(content: Content, requirements: Collection[str]) -> Iterator[Finding]:
    """Yield requirements of which nothing can be imported.

    Args:
        content: The layer.
        requirements: Normalized names of the distributions that were asked for and are not left
            out on purpose.
    """
    there: dict[str, set[str]] = {}
    for path, owner in content.owners.items():
        name = top_level(path.removeprefix(PREFIX)) if path.startswith(PREFIX) else None
        if name:
            there.setdefault(owner, set()).add(name)
    for name in sorted(requirements):
        distribution = content.distributions.get(name)
        if distribution and distribution.root != PREFIX:
            # The layout is the cause, and a finding of its own.
            continue
        expected = _expected(distribution)
        if there.get(name) or (distribution and not expected):
            # A distribution that lists no module at all only pulls others in.
            continue
        found = expected & set(content.modules)
        if found:
            continue
        what = f"nothing of {name} can be imported"
        names = f" ({', '.join(sorted(expected))})" if expected else ""
        yield Finding(
            code="IMPORT-MISSING",
            severity=Severity.ERROR,
            distribution=name,
            what=what + names,
            cause="its files were pruned or deleted"
            if distribution
            else "the distribution is not in the layer",
            next="look at `prune` and `excludes` of the layer, and build again",
        )


def forbidden(content: Content, modules: Collection[str]) -> Iterator[Finding]:
    """Yield modules that are in the layer although layers.yaml forbids them.

    Args:
        content: The layer.
        modules: Dotted names.
    """
    for module in sorted(modules):
        stem = PREFIX + module.replace(".", "/")
        paths = [p for p in content.files if p.startswith((stem + "/", stem + "."))]
        path = next((p for p in paths if _is_module(p, stem)), None)
        if path is None:
            continue
        owner = content.owner(path)
        yield Finding(
            code="IMPORT-FORBIDDEN",
            severity=Severity.ERROR,
            path=path,
            distribution=owner,
            what=f"{module} is in the layer, and `forbid-imports` does not allow it",
            cause=f"{owner or 'a distribution'} brings it, as a requirement or pulled by one",
            next=f"exclude {owner or 'it'}; `python build/layers.py weigh` shows what needs it",
        )


def shadows(content: Content, kept: Collection[str]) -> Iterator[Finding]:
    """Yield modules that hide one of the runtime or of the standard library.

    Args:
        content: The layer.
        kept: Normalized names that layers.yaml keeps although the runtime provides them.
    """
    provided = content.runtime.provided_modules
    stdlib = runtimes.stdlib(content.runtime)
    for module, paths in content.modules.items():
        owner = content.owner(paths[0])
        if module in provided and provided[module] not in kept:
            yield Finding(
                code="SHADOW-RUNTIME",
                severity=Severity.WARNING,
                path=paths[0],
                distribution=owner,
                what=f"{module} hides the copy that {content.runtime.name} provides",
                cause=f"{owner or 'a distribution'} is in the layer; /opt/python comes first",
                next=f"exclude it, or keep it on purpose with keep-provided: [{provided[module]}]",
            )
        elif module in stdlib:
            yield Finding(
                code="SHADOW-STDLIB",
                severity=Severity.WARNING,
                path=paths[0],
                distribution=owner,
                what=f"{module} hides the module of Python's standard library",
                cause=f"{owner or 'a distribution'} is a backport for older Pythons, or chose a "
                "name that is taken",
                next=f"exclude {owner or 'it'} for {content.runtime.name}",
            )


def managed(content: Content, layers: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """Yield distributions that a managed layer used beside this one also holds.

    Args:
        content: The layer.
        layers: Managed layers -> distribution -> version.
    """
    native = {content.owner(path) for path in content.elves}
    for layer, held in layers.items():
        for name in sorted(set(held) & set(content.distributions)):
            mixed = "its compiled files and" if name in native else "its"
            yield Finding(
                code="MANAGED-CONFLICT",
                severity=Severity.WARNING,
                distribution=name,
                what=f"{name} is in this layer and in {layer}",
                cause="Lambda lays layers over each other file by file at /opt: where versions "
                f"differ, {mixed} Python files come from both",
                next=f"exclude {name} here, or do without {layer}",
            )


def _matters(inner: str) -> bool:
    if inner.startswith(("../", "/")) or ".data/" in inner or ".dist-info/" in inner:
        return False
    return inner.endswith(".py") or is_shared_library(inner)


def _missing(content: Content, distribution: InstalledDistribution, path: str) -> Finding:
    extension = module_name(path)
    said = ""
    if extension and path.endswith(".so") and extension.tag:
        said = f"; Python fails with: {symptom(path)}"
    elif is_shared_library(path):
        said = f"; Python fails with: {path.rsplit('/', 1)[-1]}: cannot open shared object file"
    return Finding(
        code="FILE-MISSING",
        severity=Severity.ERROR,
        path=path,
        distribution=distribution.name,
        what=f"{path} is in {distribution.name}'s RECORD and not in the layer{said}",
        cause=_why_missing(content, path),
        next="build again from the wheel; files are left out by `prune: add`, never by hand",
    )


def _why_missing(content: Content, path: str) -> str:
    extension = module_name(path)
    folder = path.rsplit("/", 1)[0] + "/"
    if not any(other.startswith(folder) for other in content.files):
        return f"the whole folder {folder.removesuffix('/')} was deleted"
    if extension is not None:
        renamed = [
            other
            for other in content.elves
            if other.startswith(folder)
            and other.count("/") == path.count("/")
            and (found := module_name(other)) is not None
            and found.module == extension.module
        ]
        if renamed:
            return f"it was renamed to {renamed[0].rsplit('/', 1)[-1]}"
    return "it was deleted after the install, or the wheel was unpacked in part"


def _pruned(distribution: InstalledDistribution, path: str, rule: str) -> Finding:
    return Finding(
        code="FILE-PRUNED",
        severity=Severity.WARNING,
        path=path,
        distribution=distribution.name,
        what=f"{path} was pruned; if anything imports it, Python fails with: {symptom(path)}",
        cause=f"the prune rule {rule!r} matches it",
        next=f"prove it with `python build/layers.py smoke`, or keep it: prune: keep: "
        f"[{path.removeprefix(PREFIX)}]",
    )


def _expected(distribution: InstalledDistribution | None) -> set[str]:
    if distribution is None:
        return set()
    # What top_level.txt names beside these files does not exist: `dist` of boto3-stubs. Stubs for
    # type checkers are files that nobody imports (PEP 561).
    listed = [inner for inner in distribution.record if ".dist-info/" not in inner]
    recorded = {name for inner in listed if (name := top_level(inner))}
    return recorded if listed else set(distribution.top_level)


def _is_module(path: str, stem: str) -> bool:
    rest = path.removeprefix(stem)
    if rest.startswith("/"):
        return path.endswith((".py", ".pyc", ".so"))
    return rest in {".py", ".pyc"} or (rest.endswith(".so") and module_name(path) is not None)


SHOWN = 4
"""Requirements that one message lists."""


@dataclass
class _Needs:
    """What the layer requires: name -> the lines that ask for it, each with who wrote it."""

    lines: dict[str, list[tuple[str, Requirement]]] = field(default_factory=dict)
    unread: list[tuple[str, str]] = field(default_factory=list)


def required(
    content: Content,
    extras: Mapping[str, Collection[str]],
    left_out: Collection[str],
    managed: Mapping[str, Mapping[str, str]],
) -> Iterator[Finding]:
    """Yield what is required on the target and met by nothing.

    Args:
        content: The layer.
        extras: Extras that were asked for, by normalized name of their distribution.
        left_out: Normalized names that stay out of the layer for a reason that somebody gave.
        managed: Managed layers beside this one -> distribution -> version.
    """
    needs = _needs(content, extras)
    for name, text in needs.unread:
        yield _unmet(
            name,
            f"{name} requires {text!r}, which cannot be read",
            "its METADATA is damaged, or older than the rules (PEP 508)",
            f"take another version of {name}",
            severity=Severity.WARNING,
        )
    elsewhere = {one.name: (content.runtime.name, one.version) for one in content.runtime.provides}
    for layer, versions in reversed(list(managed.items())):
        elsewhere |= {name: (layer, version) for name, version in versions.items()}
    for name, lines in sorted(needs.lines.items()):
        if name not in left_out:
            yield from _judge(content, name, lines, elsewhere.get(name))


def _needs(content: Content, extras: Mapping[str, Collection[str]]) -> _Needs:
    environment = marker_environment(content.runtime, content.architecture)
    needs = _Needs()
    waiting = deque((name, frozenset(extras.get(name, ()))) for name in content.distributions)
    done: dict[str, frozenset[str]] = {}
    while waiting:
        name, wanted = waiting.popleft()
        distribution = content.distributions.get(name)
        if distribution is None or (name in done and wanted <= done[name]):
            continue
        wanted |= done.get(name, frozenset())
        done[name] = wanted
        for text in distribution.requires:
            try:
                requirement = legacy.requirement(text)
            except InvalidRequirement:
                if (name, text) not in needs.unread:
                    needs.unread.append((name, text))
                continue
            marker = requirement.marker
            if marker is not None and not any(
                marker.evaluate({**environment, "extra": extra}) for extra in ("", *sorted(wanted))
            ):
                continue
            asked = canonicalize_name(requirement.name)
            lines = needs.lines.setdefault(asked, [])
            if (name, requirement) not in lines:
                lines.append((name, requirement))
            waiting.append((asked, frozenset(requirement.extras)))
    return needs


def _judge(
    content: Content,
    name: str,
    lines: list[tuple[str, Requirement]],
    provided: tuple[str, str] | None,
) -> Iterator[Finding]:
    """Judge one distribution; ``provided`` is who brings it beside the layer, and its version."""
    own = content.distributions.get(name)
    if own is None and provided is None:
        yield _unmet(
            name,
            f"{_who(lines)}, and nothing brings it",
            "it was left out of the layer, or installed with --no-deps",
            f"lock and build again; if nothing uses it, name {name} under `excludes`, with the "
            "reason",
        )
        return
    who, elsewhere = provided or ("", "")
    version = own.version if own else elsewhere
    refusing = [one for one in lines if not _allows(one[1], version)]
    if not refusing:
        return
    if own:
        yield _unmet(
            name,
            f"{_who(refusing)}, and the layer has {name} {version}",
            "the versions were not resolved together",
            "lock and build again; one that is meant goes under `accept`, with the reason",
        )
    else:
        yield _unmet(
            name,
            f"{_who(refusing)}, and {who} provides {name} {version}",
            "the layer leaves out what the runtime, or a managed layer beside it, provides",
            f"put it into the layer: keep-provided: [{name}]",
        )


def _allows(requirement: Requirement, version: str) -> bool:
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        # From before PEP 440: nothing can be compared with it.
        return True


def _who(lines: list[tuple[str, Requirement]]) -> str:
    shown = [
        f"{who} requires {line.name}{f' {line.specifier}' if line.specifier else ''}"
        for who, line in lines[:SHOWN]
    ]
    return ", ".join(shown) + (f" (and {len(lines) - SHOWN} more)" if len(lines) > SHOWN else "")


def _unmet(
    name: str, what: str, cause: str, step: str, *, severity: Severity = Severity.ERROR
) -> Finding:
    return Finding(
        code="REQUIRES-UNMET",
        severity=severity,
        distribution=name,
        what=what,
        cause=cause,
        next=step,
    )

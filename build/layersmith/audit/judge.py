"""Judges whether the runtime can load what a layer holds.

The core looks at files and says what it found; it changes nothing, starts nothing and knows no
AWS. ``audit_target`` takes the files of a target before they are archived, ``audit`` any files, and
``audit_zip`` any zip that is or was a layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith.audit import layout, machine, needs, packages
from layersmith.audit.content import gather
from layersmith.audit.findings import AuditReport, ordered
from layersmith.audit.zipped import open_zip

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from layersmith.audit.content import Content, LayerFile
    from layersmith.audit.findings import Finding
    from layersmith.base.runtimes import Runtime
    from layersmith.plan import Target


@dataclass(frozen=True)
class Declared:
    """The wishes of whoever asked for a layer.

    Attributes:
        requirements: Normalized names of the distributions that must be importable.
        forbidden: Dotted names of modules that must not be there.
        kept: Normalized names that are kept although the runtime provides them.
        managed: Names or ARNs of layers that functions use beside this one.
        pruned: Prune rules of layers.yaml itself, of which nobody needs to be warned.
        beside: Names of the libraries that layers used beside this one bring.
    """

    requirements: Collection[str] = ()
    forbidden: Collection[str] = ()
    kept: Collection[str] = ()
    managed: Collection[str] = ()
    pruned: Collection[str] = ()
    beside: Collection[str] = ()

    @classmethod
    def of(
        cls, target: Target, requirements: Collection[str] = (), beside: Collection[str] = ()
    ) -> Declared:
        """Return what the settings of a target's layer say.

        Args:
            target: What is built.
            requirements: Normalized names of what was asked for; what is excluded or provided by
                the runtime may be among them.
            beside: Names of the libraries that layers used beside this one bring.
        """
        settings = target.settings
        provided = target.runtime.provided - set(settings.keep_provided)
        return cls(
            requirements=set(requirements) - set(settings.excludes) - provided,
            forbidden=settings.forbid_imports,
            kept=settings.keep_provided,
            managed=settings.managed_layers,
            pruned=settings.prune.add,
            beside=beside,
        )


def audit(
    files: Iterable[LayerFile],
    runtime: Runtime,
    architecture: str,
    *,
    identifier: str = "layer",
    declared: Declared | None = None,
    removed: Mapping[str, str] | None = None,
    recorded: Mapping[str, Collection[str]] | None = None,
) -> AuditReport:
    """Judge the files of a layer.

    Args:
        files: The files, such as a Tree.
        runtime: Where the layer will be loaded.
        architecture: ``arm64`` or ``x86_64``.
        identifier: Name for messages.
        declared: What should and should not be there.
        removed: Path -> rule, for files that were left out on purpose.
        recorded: Distribution -> paths below python/ that its wheel lists, where the RECORDs
            among the files were corrected since. What is listed, not removed and not here is an
            error.
    """
    wanted = declared or Declared()
    content = gather(
        files, runtime, architecture, removed=removed, recorded=recorded, beside=wanted.beside
    )
    return _report(content, identifier, _checks(content, wanted))


def audit_target(
    files: Iterable[LayerFile],
    target: Target,
    *,
    requirements: Collection[str] = (),
    removed: Mapping[str, str] | None = None,
    recorded: Mapping[str, Collection[str]] | None = None,
    beside: Collection[str] = (),
) -> AuditReport:
    """Judge the files of a target, with the settings of its layer.

    Args:
        files: The files, such as a Tree.
        target: What is built.
        requirements: Normalized names of what was asked for.
        removed: Path -> rule, for files that were left out on purpose.
        recorded: Distribution -> paths below python/ that its wheel lists; see `audit`.
        beside: Names of the libraries that layers used beside this one bring.
    """
    return audit(
        files,
        target.runtime,
        target.architecture,
        identifier=target.identifier,
        declared=Declared.of(target, requirements, beside),
        removed=removed,
        recorded=recorded,
    )


def audit_zip(
    path: Path,
    runtime: Runtime,
    architecture: str,
    *,
    identifier: str | None = None,
    declared: Declared | None = None,
) -> AuditReport:
    """Judge a zip, made by layersmith or not.

    Args:
        path: The zip.
        runtime: Where it will be loaded.
        architecture: ``arm64`` or ``x86_64``.
        identifier: Name for messages; the file's name by default.
        declared: What should and should not be there.

    Raises:
        BuildError: The file is missing.
        AuditError: It is not a zip.
    """
    files, findings = open_zip(path)
    wanted = declared or Declared()
    content = gather(files, runtime, architecture, beside=wanted.beside)
    findings += _checks(content, wanted)
    return _report(content, identifier or path.name, findings)


def _checks(content: Content, declared: Declared) -> Iterator[Finding]:
    yield from machine.check(content)
    yield from needs.check(content)
    yield from layout.check(content)
    yield from packages.complete(content, declared.pruned)
    yield from packages.importable(content, declared.requirements)
    yield from packages.forbidden(content, declared.forbidden)
    yield from packages.shadows(content, declared.kept)
    yield from packages.managed(content, declared.managed)


def _report(content: Content, identifier: str, findings: Iterable[Finding]) -> AuditReport:
    highest = needs.highest(content)
    return AuditReport(
        identifier=identifier,
        runtime=content.runtime.name,
        architecture=content.architecture,
        files=len(content.files),
        elf_files=len(content.elves) + len(content.damaged),
        machines=sorted({facts.machine for facts in content.elves.values()}),
        highest={prefix: ".".join(map(str, number)) for prefix, number in highest.items()},
        findings=ordered(findings),
    )

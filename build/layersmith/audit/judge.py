"""Judges whether the runtime can load what a layer holds.

The core looks at files and says what it found; it changes nothing, starts nothing and knows no
AWS. ``audit_target`` takes the files of a target before they are archived, ``audit`` any files, and
``audit_zip`` any zip that is or was a layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from layersmith.audit import by_name, layout, licenses, machine, needs, packages
from layersmith.audit.content import gather
from layersmith.audit.findings import AuditReport, ordered, with_accepted
from layersmith.audit.layout import open_zip
from layersmith.config.trust import Licenses
from layersmith.errors import AuditError, BuildError
from layersmith.recipes.apply import rule

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
        managed: Names or ARNs of managed layers beside this one -> distribution -> version.
        pruned: Prune rules of layers.yaml and of recipes, of which nobody needs to be warned.
        extras: Extras that were asked for, by normalized name of their distribution.
        left_out: Normalized names that stay out of the layer, each for a reason.
        beside: Names of the libraries that layers used beside this one bring.
        accepted: Findings that are accepted -> reason; see ``findings.with_accepted``.
        libraries: Distribution -> libraries that its recipe names -> what brings them.
        licenses: What licences are allowed and denied.
        mine: Normalized names of local packages.
    """

    requirements: Collection[str] = ()
    forbidden: Collection[str] = ()
    kept: Collection[str] = ()
    managed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    pruned: Collection[str] = ()
    extras: Mapping[str, Collection[str]] = field(default_factory=dict)
    left_out: Collection[str] = ()
    beside: Collection[str] = ()
    accepted: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    licenses: Licenses = field(default_factory=Licenses)
    mine: Collection[str] = ()

    @classmethod
    def of(
        cls,
        target: Target,
        requirements: Collection[str] = (),
        asked: Iterable[str] = (),
        beside: Collection[str] = (),
        mine: Collection[str] = (),
    ) -> Declared:
        """Return what the settings of a target's layer say.

        Args:
            target: What is built.
            requirements: Normalized names of what was asked for; what is excluded or provided by
                the runtime may be among them.
            asked: The requirements as they were asked for (PEP 508), with their extras.
            beside: Names of the libraries that layers used beside this one bring.
            mine: Normalized names of local packages.
        """
        settings = target.settings
        kept = target.runtime.provided - set(target.runtime.left_out(settings.keep_provided))
        overridden = {canonicalize_name(Requirement(line).name) for line in settings.overrides}
        return cls(
            requirements=set(requirements) - set(settings.excludes) - set(target.provided),
            forbidden=settings.forbid_imports,
            kept=kept,
            managed=target.managed_layers,
            pruned=[*settings.prune.add, *(rule(use.name) for use in target.recipes.uses)],
            extras=extras_of(asked, settings.extras),
            left_out=[*settings.excludes, *overridden, *target.brought],
            beside=beside,
            accepted=settings.accept,
            libraries={use.name: use.libraries for use in target.recipes.uses if use.libraries},
            licenses=settings.licenses,
            mine=mine,
        )


def extras_of(
    asked: Iterable[str], added: Mapping[str, Collection[str]] | None = None
) -> dict[str, set[str]]:
    """Return the extras that requirements ask for, by normalized name.

    Args:
        asked: Requirements (PEP 508).
        added: More of them by normalized name, as `extras` of layers.yaml adds them.
    """
    extras = {name: set(more) for name, more in (added or {}).items()}
    for requirement in map(Requirement, asked):
        extras.setdefault(canonicalize_name(requirement.name), set()).update(requirement.extras)
    return extras


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
    declared = declared or Declared()
    content = gather(
        files, runtime, architecture, removed=removed, recorded=recorded, beside=declared.beside
    )
    return _report(content, identifier, _checks(content, declared), declared)


def audit_target(
    files: Iterable[LayerFile],
    target: Target,
    *,
    requirements: Collection[str] = (),
    asked: Iterable[str] = (),
    removed: Mapping[str, str] | None = None,
    recorded: Mapping[str, Collection[str]] | None = None,
    beside: Collection[str] = (),
    mine: Collection[str] = (),
) -> AuditReport:
    """Judge the files of a target, with the settings of its layer.

    Args:
        files: The files, such as a Tree.
        target: What is built.
        requirements: Normalized names of what was asked for.
        asked: The requirements as they were asked for (PEP 508), with their extras.
        removed: Path -> rule, for files that were left out on purpose.
        recorded: Distribution -> paths below python/ that its wheel lists; see `audit`.
        beside: Names of the libraries that layers used beside this one bring.
        mine: Normalized names of local packages, whose licences are not judged.
    """
    return audit(
        files,
        target.runtime,
        target.architecture,
        identifier=target.identifier,
        declared=Declared.of(target, requirements, asked, beside, mine),
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
    above: str = "",
) -> AuditReport:
    """Judge a zip, made by layersmith or not.

    Args:
        path: The zip.
        runtime: Where it will be loaded.
        architecture: ``arm64`` or ``x86_64``.
        identifier: Name for messages; the file's name by default.
        declared: What should and should not be there.
        above: What is put in front of every path; see `open_zip`.

    Raises:
        BuildError: The file is missing.
        AuditError: It is not a zip, or is damaged.
    """
    try:
        files, findings = open_zip(path, above)
        declared = declared or Declared()
        content = gather(files, runtime, architecture, beside=declared.beside)
        findings += _checks(content, declared)
        return _report(content, identifier or path.name, findings, declared)
    except BuildError as problem:
        if not path.is_file():
            raise
        said = problem.message
        raise AuditError(
            said if path.name in said else f"{path.name}: {said}",
            target=identifier,
            cause=problem.cause,
            hint="build it again",
        ) from problem


def _checks(content: Content, declared: Declared) -> Iterator[Finding]:
    yield from machine.check(content)
    yield from needs.check(content)
    yield from by_name.check(content, declared.libraries)
    yield from layout.check(content)
    yield from packages.complete(content, declared.pruned)
    yield from packages.importable(content, declared.requirements)
    yield from packages.required(content, declared.extras, declared.left_out, declared.managed)
    yield from packages.forbidden(content, declared.forbidden)
    yield from packages.shadows(content, declared.kept)
    yield from packages.managed(content, declared.managed)
    yield from licenses.check(content, declared.licenses, declared.mine)


def _report(
    content: Content, identifier: str, findings: Iterable[Finding], declared: Declared
) -> AuditReport:
    highest = needs.highest(content)
    return AuditReport(
        identifier=identifier,
        runtime=content.runtime.name,
        architecture=content.architecture,
        files=len(content.files),
        elf_files=len(content.elves) + len(content.damaged),
        machines=sorted({facts.machine for facts in content.elves.values()}),
        highest={prefix: ".".join(map(str, number)) for prefix, number in highest.items()},
        findings=ordered(with_accepted(findings, declared.accepted)),
    )

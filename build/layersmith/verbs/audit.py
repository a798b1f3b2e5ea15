"""`audit`: check built zips, or any zip, against what their runtime can load."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from layersmith import console
from layersmith.assemble import files
from layersmith.assemble import manifest as manifests
from layersmith.assemble.tree import PREFIX
from layersmith.audit import findings, together
from layersmith.audit.judge import Declared, audit_zip, extras_of
from layersmith.base import architectures, runtimes
from layersmith.errors import AuditError, BuildError, ConfigError, LayersmithError, ManyErrors
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from layersmith.assemble.manifest import Manifest
    from layersmith.audit.findings import AuditReport, Finding
    from layersmith.plan import Target

NAME = re.compile(r"-(?P<runtime>python3\.\d+)-(?P<arch>arm64|x86_64)\.zip$")
"""End of an artifact's name, which says what it is for."""

EPILOG = """\
what it checks:
  machine, word size and byte order of every ELF file; names that Python and the platform look for;
  the highest GLIBC, GLIBCXX, CXXABI, GCC and ZLIB version; every needed library, through RPATH,
  RUNPATH and /opt/lib, in the layer or in the runtime; executable stacks; absolute search paths;
  files that a RECORD lists and that are gone; requirements that nothing meets; depth of packages,
  modes, links, case; bytecode; shebang lines; forbidden and missing imports; modules that hide the
  runtime's own.
  `build` runs the same checks before it writes a zip. --codes lists all findings.

examples:
  python build/layers.py audit                            every target in dist/
  python build/layers.py audit imaging --json
  python build/layers.py audit layer.zip --runtime python3.13 --arch arm64     any zip
  python build/layers.py audit layer.zip --forbid PIL --require chromadb-client

exit code: 6 if a layer is rejected; 0 if there are only warnings.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    parser.add_argument(
        "what",
        nargs="*",
        metavar="ZIP|LAYER",
        help="zips to judge, or layers whose zips in dist/ are judged (default: all of these)",
    )
    options.add_filters(parser, positional=False)
    options.add_dist(parser)
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="NAME",
        help="with ZIP: a distribution that must be importable; repeatable",
    )
    parser.add_argument(
        "--forbid",
        action="append",
        default=[],
        metavar="MODULE",
        help="with ZIP: a module that must not be in it; repeatable",
    )
    parser.add_argument("--codes", action="store_true", help="list the codes of findings and stop")


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        ManyErrors: Layers were refused, or could not be read; all were judged.
    """
    if args.codes:
        return _list_codes(as_json=args.json)
    reports: list[AuditReport] = []
    errors: list[LayersmithError] = []
    for judge in _jobs(args):
        try:
            reports.append(judge())
        except LayersmithError as problem:
            errors.append(problem)
    overlaps = _overlaps(args)
    if args.json:
        found = [report.model_dump(mode="json") for report in reports]
        functions = [one.model_dump(mode="json") for one in overlaps]
        console.emit_json({"reports": found, "functions": functions})
    else:
        _show(reports)
        for one in overlaps:
            console.warn(f"{one.code}: {one.what}; {one.next}")
    errors += [_refusal(report, told=not args.json) for report in reports if not report.ok]
    if errors:
        raise ManyErrors(errors)
    return 0


def _overlaps(args: argparse.Namespace) -> list[Finding]:
    """Return how the built layers of one function differ; nothing for zips of others."""
    if _zips(args):
        return []
    loaded, targets = options.chosen(args, packages=True)
    made = [_manifest(args.dist / f"{target.stem}.json") for target in targets]
    there = [one for one in made if one and (args.dist / one.artifact.filename).is_file()]
    try:
        return together.check(loaded.config, there, args.dist)
    except LayersmithError:
        # A zip that cannot be read is an error of its own target.
        return []


def _zips(args: argparse.Namespace) -> list[Path]:
    return [Path(word) for word in args.what if word.endswith(".zip") or Path(word).is_file()]


def _jobs(args: argparse.Namespace) -> list[partial[AuditReport]]:
    """Return what is to be judged, a call each, so that one failure does not stop the others."""
    zips = _zips(args)
    args.layer += [word for word in args.what if Path(word) not in zips]
    if zips and args.layer:
        raise ConfigError(
            "zips and layers cannot be judged in one run",
            hint=f"run `audit` once for each: {', '.join(args.layer)}",
        )
    if zips:
        return [partial(_judge_zip, path, args) for path in zips]
    options.refuse(
        {"--require": args.require, "--forbid": args.forbid},
        "for layers of layers.yaml",
        "name a zip; a layer has `requirements` and `forbid-imports`",
    )
    loaded, targets = options.chosen(args, packages=True)
    return [partial(_judge_built, target, args.dist, loaded.root) for target in targets]


def _judge_zip(path: Path, args: argparse.Namespace) -> AuditReport:
    runtime, architecture = _platform(path, args)
    required = [canonicalize_name(name) for name in args.require]
    made = _manifest(path.with_suffix(".json"))
    declared = Declared(
        requirements=required,
        forbidden=args.forbid,
        extras=extras_of(made.inputs.requirements if made else ()),
        left_out={one.name for one in made.dropped} if made else (),
        accepted=_accepted(made),
    )
    above = PREFIX if made and made.function else ""
    return audit_zip(path, runtimes.get(runtime), architecture, declared=declared, above=above)


def _accepted(made: Manifest | None) -> dict[str, str]:
    """Return what the build accepted; licences are judged by layers.yaml, which is not asked."""
    accepted = made.audit.accepted if made else {}
    return {key: why for key, why in accepted.items() if not key.startswith("LICENSE-")}


def _manifest(path: Path) -> Manifest | None:
    """Return the manifest beside a zip; without one, a zip is judged by what it holds."""
    try:
        return manifests.read(path)
    except BuildError:
        return None


def _platform(path: Path, args: argparse.Namespace) -> tuple[str, str]:
    named = NAME.search(path.name)
    runtime, arch = (
        given[0] if len(given) == 1 else (named[group] if named and not given else "")
        for given, group in ((args.runtime, "runtime"), (args.arch, "arch"))
    )
    if runtime and arch in architectures.NAMES:
        return runtime, arch
    raise ConfigError(
        f"{path.name}: for which runtime and architecture?",
        cause="neither its name nor the options name exactly one known target",
        hint=f"python build/layers.py audit {path} --runtime python3.13 --arch arm64",
    )


def _judge_built(target: Target, dist: Path, root: Path) -> AuditReport:
    made = _manifest(dist / f"{target.stem}.json")
    return audit_zip(
        dist / f"{target.stem}.zip",
        target.runtime,
        target.architecture,
        identifier=target.identifier,
        declared=Declared.of(
            target,
            _requirements(made),
            made.inputs.requirements if made else (),
            files.provided(target, root),
            [one.name for one in made.distributions if one.origin == "local"] if made else (),
        ),
        above=PREFIX if target.function else "",
    )


def _requirements(manifest: Manifest | None) -> list[str]:
    """Return what was asked for and went into the layer."""
    if manifest is None:
        return []
    asked = {canonicalize_name(Requirement(text).name) for text in manifest.inputs.requirements}
    return [
        one.name for one in manifest.distributions if one.name in asked or one.origin == "local"
    ]


def _refusal(report: AuditReport, *, told: bool) -> AuditError:
    """Return the error of a refused layer; causes are left out where the findings gave them."""
    count = len(report.errors)
    return AuditError(
        f"the audit rejected this layer: {count} error{'s' if count > 1 else ''}",
        target=report.identifier,
        cause=None if told else report.errors[0].cause,
        hint=None if told else report.errors[0].next,
    )


def _list_codes(*, as_json: bool) -> int:
    if as_json:
        console.emit_json({"codes": findings.CODES})
        return 0
    width = max(map(len, findings.CODES))
    console.emit_text(
        "\n".join(f"{code:<{width}}  {text}" for code, text in findings.CODES.items())
    )
    return 0


def _show(reports: list[AuditReport]) -> None:
    if not reports:
        return
    headings = ("target", "files", "ELF", "machine", "glibc", "errors", "warnings")
    rows = [
        (
            report.identifier,
            f"{report.files:,}",
            str(report.elf_files),
            ", ".join(report.machines) or "-",
            report.highest.get("GLIBC", "-"),
            str(len(report.errors) or "-"),
            str(len(report.warnings) or "-"),
        )
        for report in reports
    ]
    table = console.table(
        headings,
        rows,
        right=set(headings) - {"target", "machine"},
        drop=("glibc", "machine", "ELF", "files"),
        styles=[None if report.ok else "red" for report in reports],
    )
    console.stdout().print(table)
    for report in reports:
        for line, style in _details(report):
            console.stdout().print(line, style=style, markup=False)


def _details(report: AuditReport) -> Iterator[tuple[str, str | None]]:
    """Yield the findings of one report line by line, equal ones of a distribution as one."""
    for group in findings.grouped(report.errors) + findings.grouped(report.warnings):
        first: Finding = group[0]
        style = "red" if first.severity is findings.Severity.ERROR else "yellow"
        head = f"{first.severity}: {report.identifier}: {first.code}: {findings.headline(group)}"
        yield f"\n{head}", style
        yield f"  likely cause: {first.cause}", None
        yield f"  next: {first.next}", None
    for group in findings.grouped(report.accepted):
        first = group[0]
        yield f"\naccepted: {report.identifier}: {first.code}: {findings.headline(group)}", None
        yield f"  reason: {first.accepted}", None

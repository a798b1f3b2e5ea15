"""`advisories`: look up known vulnerabilities of what is locked, bundled or built with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache, console
from layersmith.assemble import manifest as manifests
from layersmith.base import damage
from layersmith.config import loader
from layersmith.errors import LayersmithError, ManyErrors
from layersmith.supply import advisories, exports, feeds, subjects
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from layersmith.assemble.manifest import Manifest
    from layersmith.config.loader import LoadedConfig
    from layersmith.plan import Target
    from layersmith.prove.slim.models import WatchRecord
    from layersmith.supply.advisories import AdvisoryReport, Watched
    from layersmith.supply.subjects import AdvisorySubject

NAMED = 8
"""Names in a line for people; --json has all."""

ROLES = {
    "layer": "in the zips",
    "bundled": "bundled",
    "build": "to build with",
    "provided": "provided",
    "left out": "left out",
}
"""What versions are to layers, in the order in which they are counted."""

EPILOG = """\
what it looks up:
  every version in locks/, also of build requirements, and the components that the SBOMs in dist/
  name inside wheels. What advisories know under no name is counted and named. A layer that is not
  built is looked up by its lock alone.

where it looks:
  service   the OSV service; answers are kept for an hour, and used without network with their age
  URL       a mirror of its API, or an export of it (https://mirror/PyPI/all.zip)
  PATH      an export, a checkout of PyPA's advisory database, or a folder of OSV records

`advisories` in layers.yaml is the policy: severity, ignored advisories, age of the data.
docs/trust.md describes it. `build` itself asks nobody.

examples:
  python build/layers.py advisories
  python build/layers.py advisories imaging --source ../advisory-database --json
  python build/layers.py advisories --sarif dist/advisories.sarif --vex dist/advisories.vex.json
  python build/layers.py advisories --offline
  python build/layers.py advisories --published dist/layers-index.json       what regions have

exit code: 6 if an advisory counts, data cannot be used or is too old.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    options.add_filters(parser)
    options.add_dist(parser)
    parser.add_argument(
        "--source",
        default="service",
        metavar="service|URL|PATH",
        help="the OSV service (default), a mirror, or a file or folder of advisories",
    )
    parser.add_argument(
        "--offline", action="store_true", help="use only what is kept of earlier answers"
    )
    parser.add_argument(
        "--published",
        type=Path,
        metavar="INDEX",
        help="look up what this index, or the indexes in this folder, list as published; what"
        " their manifests in dist/ lack is fetched from GitHub's releases",
    )
    parser.add_argument(
        "--github-issue",
        action="store_true",
        help="with --published: open, update or close the issue about it (in a workflow run)",
    )
    parser.add_argument(
        "--summary", type=Path, metavar="FILE", help="with --published: also write it as Markdown"
    )
    parser.add_argument(
        "--sarif", type=Path, metavar="FILE", help="also write SARIF 2.1.0 to this file"
    )
    parser.add_argument(
        "--vex", type=Path, metavar="FILE", help="also write a CycloneDX VEX document to this file"
    )


@dataclass
class _Gathered:
    """What there is to look up."""

    subjects: list[AdvisorySubject] = field(default_factory=list)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    bills: dict[str, str] = field(default_factory=dict)
    watched: dict[str, Watched] = field(default_factory=dict)
    errors: list[LayersmithError] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        AuditError: There are no advisories to look in.
        ManyErrors: Advisories count, the data cannot be used, or locks are missing.
    """
    if args.published:
        options.refuse(
            {"--sarif": args.sarif, "--vex": args.vex}, "with --published", "leave one of them out"
        )
        return _published(args)
    options.refuse(
        {"--summary": args.summary, "--github-issue": args.github_issue},
        "without --published",
        "pass --published INDEX",
    )
    loaded, targets = options.chosen(args, packages=True)
    found = _gather(targets, loaded.root, args.dist)
    now = datetime.now(UTC)
    subjects_ = subjects.merged(found.subjects)
    answers = feeds.ask(
        args.source, [one.question for one in subjects_], now=now, offline=args.offline
    )
    report = advisories.judge(
        subjects_,
        answers,
        loaded.config.advisories,
        now=now,
        watched=found.watched,
        whole=not (args.layer or args.runtime or args.arch or found.bare or found.errors),
    )
    _write(args, loaded, report, found, targets)
    if args.json:
        console.emit_json({"reports": [report.model_dump(mode="json")]})
    else:
        _show(report)
    if found.stale:
        console.warn(f"watched in another zip, so that nothing is known: {_some(found.stale)}")
    _tell(report, found.bare, len(targets))
    errors = [*found.errors, *advisories.errors(report, lambda index: _place(loaded, index))]
    if errors:
        raise ManyErrors(errors)
    return 0


def _published(args: argparse.Namespace) -> int:
    """Look up what is published, and keep the issue about it.

    Raises:
        AuditError: There are no advisories to look in.
        ManyErrors: Advisories count, or the data cannot be used.
        ShipError: An index cannot be read, or GitHub refused.
    """
    from layersmith.report import tables  # noqa: PLC0415 -- start-up time
    from layersmith.ship import arns, github, published  # noqa: PLC0415 -- start-up time

    loaded, now = loader.load(args.config), datetime.now(UTC)
    folder = args.published.is_dir()
    index = arns.read(sorted(args.published.rglob("*.json")) if folder else [args.published])
    places = published.not_yanked(index)
    args.dist.mkdir(parents=True, exist_ok=True)
    missing = [one for one in places if not (args.dist / f"{one.stem}.json").is_file()]
    if missing and not args.offline:
        published.fetch_manifests(missing, args.dist, github.Repository.of(loaded.root))
    held, unknown = published.gather(list(places), args.dist)
    looked_up = subjects.merged(held)
    questions = [one.question for one in looked_up]
    answers = feeds.ask(args.source, questions, now=now, offline=args.offline)
    report = advisories.judge(looked_up, answers, loaded.config.advisories, now=now, whole=False)
    if args.json:
        console.emit_json({"reports": [report.model_dump(mode="json")]})
    else:
        _show(report)
    _tell(report, (), len(places))
    if unknown:
        console.warn(f"not looked up, as their records are in no release: {_some(unknown)}")
    text = published.advisory_issue(report, places, unknown)
    if args.summary:
        cache.write_text(args.summary, text)
    tables.step_summary(text)
    if args.github_issue:
        topic, repository = github.ADVISORIES, github.Repository.current()
        console.info(repository.report(text, differs=not report.ok, topic=topic))
    if errors := advisories.errors(report, lambda index: _place(loaded, index)):
        raise ManyErrors(list(errors))
    return 0


def _gather(targets: Sequence[Target], root: Path, dist: Path) -> _Gathered:
    found = _Gathered()
    for target in targets:
        try:
            found.subjects += subjects.of_target(target, root)
            _of_built(found, target, dist)
        except LayersmithError as problem:
            found.errors.append(problem)
    return found


def _of_built(found: _Gathered, target: Target, dist: Path) -> None:
    """Add what lies in dist/ of a target: its SBOM, and what its proofs loaded."""
    path, bill = dist / f"{target.stem}.json", dist / f"{target.stem}.cdx.json"
    if not path.is_file() or not bill.is_file():
        found.bare.append(target.identifier)
        return
    made = manifests.read(path)
    said = subjects.of_bill(bill, subjects.LockPlace(target.identifier))
    found.subjects += said.bundled
    found.manifests[target.identifier] = made
    found.bills[target.identifier] = said.serial
    seen = _watch_record(dist / f"{target.stem}.watched.json")
    if seen is not None and seen.sha256 == made.artifact.sha256:
        found.watched[target.identifier] = advisories.Watched(
            made, frozenset(seen.loaded), seen.proofs, seen.runner.described
        )
    elif seen is not None:
        found.stale.append(target.identifier)


def _watch_record(path: Path) -> WatchRecord | None:
    """Return what proofs loaded; None where they were not watched.

    Raises:
        BuildError: The record is damaged.
    """
    if not path.is_file():
        return None
    from layersmith.prove.slim.models import WatchRecord  # noqa: PLC0415 -- start-up time

    with damage.told(path.name, hint="watch the layer again: `layersmith slim --limit 0`"):
        return WatchRecord.model_validate_json(path.read_bytes())


def _write(
    args: argparse.Namespace,
    loaded: LoadedConfig,
    report: AdvisoryReport,
    found: _Gathered,
    targets: Sequence[Target],
) -> None:
    """Write the records beside the zips, and the exports that were asked for."""
    for target in targets:
        if manifest := found.manifests.get(target.identifier):
            made = advisories.record(report, manifest)
            path = args.dist / f"{target.stem}.advisories.json"
            cache.write_text(path, made.model_dump_json(indent=1) + "\n")
    if args.sarif:
        below = _below_repository(loaded.root)
        made_sarif = exports.sarif(report, lambda index: _place(loaded, index), below)
        cache.write_text(args.sarif, made_sarif)
    if args.vex:
        cache.write_text(args.vex, exports.vex(report, found.bills))


def _place(loaded: LoadedConfig, index: int | None) -> tuple[str, int]:
    """Return file and line of an entry of ``advisories.ignore``, or of ``advisories``."""
    path: tuple[str | int, ...] = ("advisories",)
    if index is not None:
        path = ("advisories", "ignore", index)
    return loaded.path.name, loaded.position(*path).line


def _below_repository(root: Path) -> str:
    """Return the path from the root of the repository to the folder of layers.yaml."""
    for folder in (root, *root.parents):
        if (folder / ".git").exists():
            return root.relative_to(folder).as_posix()
    return "."


def _show(report: AdvisoryReport) -> None:
    if not report.findings:
        return
    headings = ("advisory", "severity", "package", "fixed in", "targets", "state")
    rows = [
        (
            one.id,
            one.level,
            one.subject,
            one.fixed or "-",
            str(len(one.targets)) if len(one.targets) > 1 else one.targets[0],
            one.state + (", not loaded by any proof" if one.not_loaded else ""),
        )
        for one in report.findings
    ]
    styles = ["red" if one.counts else "yellow" for one in report.findings]
    console.stdout().print(
        console.table(headings, rows, drop=("targets", "fixed in"), styles=styles)
    )
    for one in report.findings:
        lines = [f"{one.id}: {one.summary}" if one.summary else "", f"  {one.url}"]
        lines += [f"  reason: {one.reason}"] if one.reason else []
        lines += [f"  unclear: {doubt}" for doubt in one.doubts]
        lines += [
            f"  {it.target}: none of {console.counted(it.files, 'file')} loaded by"
            f" {' and '.join(it.proofs)} ({it.runner})"
            for it in one.not_loaded
        ]
        for line in filter(None, lines):
            console.stdout().print(line, markup=False)


def _tell(report: AdvisoryReport, bare: Sequence[str], targets: int) -> None:
    """Say what was looked up, where, and what was not."""
    for note in report.notes:
        console.warn(note)
    for entry in report.policy:
        console.warn(f"advisories.ignore: {entry.message}")
    if bare:
        console.warn(f"not built, so that bundled libraries were not looked up: {_some(bare)}")
    if report.unmatched:
        console.warn(
            f"{len(report.unmatched)} have no name that {report.source} knows, so that nothing is"
            f" known of them: {_some(report.unmatched)}"
        )
    if report.by_name:
        console.info(
            f"{len(report.by_name)} were looked up by their plain names, by which advisories may"
            f" miss them: {_some(report.by_name)}"
        )
    if report.withdrawn:
        console.info(
            f"passed over {console.counted(len(report.withdrawn), 'withdrawn advisory')}:"
            f" {_some(report.withdrawn)}".replace("advisorys", "advisories")
        )
    counts = report.checked
    checked = ", ".join(f"{counts[role]} {word}" for role, word in ROLES.items() if role in counts)
    age = f"; data {advisories.days(report.age)} old" if report.dated else ""
    versions = console.counted(sum(counts.values()), "version")
    detail = f" ({checked})" if checked else ""
    said = f"looked up {versions}{detail} of {console.counted(targets, 'target')} in"
    (console.success if report.ok else console.info)(f"{said} {report.source}{age}")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"

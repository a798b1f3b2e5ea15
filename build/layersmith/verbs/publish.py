"""``publish``: plans or applies the publication of layers to every region."""

from __future__ import annotations

import argparse
import base64
import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import cache, console
from layersmith.base import damage
from layersmith.config import loader
from layersmith.errors import LayersmithError, ManyErrors, ShipError
from layersmith.report import tables
from layersmith.ship import arns, github
from layersmith.ship.pointers import moves
from layersmith.ship.publish import apply as publisher
from layersmith.ship.publish import canary, desired, observed, progress
from layersmith.ship.publish import plan as planner
from layersmith.ship.release import steps, tagging
from layersmith.verbs import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.ship.publish.models import Quarantined, RegionFinding, RegionState
    from layersmith.ship.publish.plan import Plan
    from layersmith.ship.publish.site import ShippingJob

FORMAT = 2
"""Of the plan as JSON. Format 1, up to version 0.1, named neither accounts nor zips."""

EPILOG = """\
plan reads every region and prints what would be done; apply does it. Both can be repeated: a
version that is there with the same semver and the same bytes is not published again. A region
that fails is left out and named, the others go on, and the next run catches up. Exit code 9 says
that something is not in order. docs/publishing.md explains the steps.

examples:
  python build/layers.py publish plan
  python build/layers.py publish plan --json --out plan.json
  python build/layers.py publish apply --plan plan.json --yes
  python build/layers.py publish apply --layer chromadb-vector --region eu-west-1
  python build/layers.py publish fetch                    released zips back into dist/
  python build/layers.py publish recent --days 30         hotfixes that layers.yaml does not name
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verbs and their options."""
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(dest="step", required=True, metavar="plan|apply|fetch|recent")
    shape = argparse.RawDescriptionHelpFormatter
    plan = verbs.add_parser(
        "plan", help="print what would be done", epilog=EPILOG, formatter_class=shape
    )
    plan.add_argument("--out", type=Path, help="also write the plan as JSON to this file")
    apply = verbs.add_parser("apply", help="do it", epilog=EPILOG, formatter_class=shape)
    apply.add_argument("--yes", action="store_true", help="do not ask")
    apply.add_argument(
        "--plan", type=Path, help="refuse any other account, zip or step than this plan's"
    )
    apply.add_argument("--index", type=Path, help="also write the JSON index to this file")
    fetch = verbs.add_parser(
        "fetch",
        help="get released zips back from the artifact bucket",
        epilog=EPILOG,
        formatter_class=shape,
    )
    fetch.add_argument("--github", action="store_true", help="from GitHub's releases instead")
    fetch.add_argument(
        "--skip-unreleased", action="store_true", help="skip versions that were never released"
    )
    recent = verbs.add_parser(
        "recent",
        help="publish GitHub's releases of the last days that layers.yaml does not name",
        epilog=EPILOG,
        formatter_class=shape,
    )
    recent.add_argument(
        "--days", type=options.at_least(0), default=30, help="how many days back (30)"
    )
    recent.add_argument("--index", type=Path, help="also write the JSON index to this file")
    recent.set_defaults(yes=True, plan=None, github=False, skip_unreleased=True)
    for sub in (plan, apply, fetch, recent):
        options.add_artifacts(sub)
    for sub in (plan, apply, recent):
        options.add_publishing(sub)
        sub.add_argument("--pilot", action="store_true", help="only each layer's first region")
        sub.add_argument("--no-canary", action="store_true", help="move pointers without a start")
        sub.add_argument("--no-promote", action="store_true", help="leave `latest` where it is")
        sub.add_argument("--pre", action="store_true", help="let a pre-release become `latest`")


def run(args: argparse.Namespace) -> int:
    """Run the sub-verb."""
    if args.step == "fetch":
        return _fetch(args)
    if args.step == "recent":
        return _recent(args)
    return _publish(args)


def _publish(args: argparse.Namespace) -> int:
    """Plan the publication, and apply it unless only the plan is asked for."""
    if options.is_outside(args):
        console.info(f"no target has a region in {args.partition}")
        return 0
    job = options.job(args, attested=True)
    if not args.no_canary:
        canary.refuse_full(job.desired)
    options.warn_of_deprecated(want.runtime for want in job.desired)
    regions = observed.by_region(job.desired, counted=True)
    console.info(f"reading {console.counted(len(regions), 'region')}")
    states, failed = observed.read_all(
        job.site.aws, job.site.stack, job.desired, workers=job.site.workers, counted=True
    )
    made = planner.plan(job.desired, states, _options(args))
    refused, unread = publisher.unready(job.site, job.desired, made)
    for line in unread:
        console.warn(line)
    if refused:
        failed += refused
        gone = {one.region for one in refused}
        states = {region: state for region, state in states.items() if region not in gone}
        made = planner.plan(job.desired, states, _options(args))
    return (
        _plan(args, job, made, failed)
        if args.step == "plan"
        else _apply(args, job, made, states, failed)
    )


def _options(args: argparse.Namespace) -> planner.PlanOptions:
    return planner.PlanOptions(canary=not args.no_canary, promote=not args.no_promote, pre=args.pre)


def _plan(
    args: argparse.Namespace, job: ShippingJob, made: Plan, failed: Sequence[Quarantined]
) -> int:
    document = _document(job, made, failed)
    if args.out:
        cache.write_text(args.out, json.dumps(document, indent=1) + "\n")
    if args.json:
        console.emit_json(document)
    elif made.actions:
        out = console.stdout()
        out.print(progress.actions_table(made.actions, out.width))
    progress.show(made.findings, failed)
    todo = console.counted(len(made.actions), "step") if made.actions else "nothing"
    unread = f"; {console.counted(len(failed), 'region')} could not be read" if failed else ""
    console.info(f"{todo} to do in {job.site.where}{unread}")
    return ShipError.exit_code if made.findings or failed else 0


def _apply(
    args: argparse.Namespace,
    job: ShippingJob,
    made: Plan,
    states: dict[str, RegionState],
    failed: list[Quarantined],
) -> int:
    if args.plan:
        unchanged(args.plan, _document(job, made, failed))
    if made.actions:
        _confirm(args, job, made)
    table = progress.ProgressTable(
        job.desired, [r for r in observed.by_region(job.desired) if r in states]
    )
    run = publisher.Publisher(job.site, _options(args), states, table.say)
    outcome, listed, ended = run.outcome, 0, None
    try:
        with table.shown():
            run.run(job.desired, made)
        outcome.quarantined[:0] = failed
        listed = _update_index(args, job, states, outcome)
    except ShipError as problem:
        # What was done until then is told all the same.
        ended = problem
    if args.json:
        console.emit_json(
            {
                "accounts": _accounts(job),
                "done": [action.to_json() for action in outcome.done],
                **_problems(outcome.findings, outcome.quarantined),
            }
        )
    progress.show(outcome.findings, outcome.quarantined)
    told = (job.desired, outcome.done, outcome.findings, outcome.quarantined, job.site.where)
    text = progress.published(*told, ended=ended.message if ended else "")
    tables.step_summary(text + tables.run_link())
    if ended:
        console.warn(f"{console.counted(len(outcome.done), 'step')} done before the run ended")
        raise ended
    say = console.warn if outcome.findings or outcome.quarantined else console.success
    say(
        f"{console.counted(len(outcome.done), 'step')} done,"
        f" {console.counted(len(outcome.findings), 'finding')},"
        f" {console.counted(len(outcome.quarantined), 'region')} left out,"
        f" {console.counted(listed, 'ARN')} in the index; "
        f"{job.site.where}"
    )
    return ShipError.exit_code if outcome.findings or outcome.quarantined else 0


def _update_index(
    args: argparse.Namespace,
    job: ShippingJob,
    states: dict[str, RegionState],
    outcome: publisher.RegionOutcome,
) -> int:
    """Write the index from what the regions hold now; return the number of its ARNs.

    What it lacks is added to the regions that were left out.
    """
    gone = {one.region for one in outcome.quarantined}
    known = {r: state for r, state in states.items() if r not in gone | outcome.touched}
    again = [
        dataclasses.replace(want, regions=left)
        for want in job.desired
        if (left := tuple(r for r in want.regions if r in outcome.touched - gone))
    ]
    fresh, unread = observed.read_all(job.site.aws, job.site.stack, again, workers=job.site.workers)
    known |= fresh
    written, stale = arns.refresh(job.site, arns.observe(job.desired, known.values()), unread)
    outcome.quarantined += [one for one in stale if one.region not in gone]
    if written is None:
        return 0
    if args.index:
        cache.write_text(args.index, written.to_json())
    return len(written.layers)


def _fetch(args: argparse.Namespace) -> int:
    loaded, targets = options.chosen(args)
    releases = desired.Releases(
        args.dist,
        loaded.root,
        args.stack,
        options.access(args),
        options.region_choice(args),
        on_github=args.github,
    )
    count = releases.fetch(targets, skip_unreleased=args.skip_unreleased)
    tables.step_outputs(fetched=count)
    console.success(f"{console.counted(count, 'zip')} fetched into {args.dist}")
    if args.json:
        console.emit_json({"fetched": count, "folder": str(args.dist)})
    return 0


def _recent(args: argparse.Namespace) -> int:
    """Publish recent releases that layers.yaml does not name, above all hotfixes.

    Each is published as its own tag says: its layers.yaml and smoke tests. The zips are those in
    the artifact buckets, where only reviewed releases get to: whoever can push a tag can make a
    release on GitHub, too, but not that.
    """
    loaded = loader.load(args.config)
    since = datetime.now(UTC) - timedelta(days=args.days)
    tags = github.Repository.current().released(since)
    found = [
        one
        for one in steps.elsewhere(loaded.config, tags)
        if not args.layer or one["layer"] in args.layer
    ]
    root, failed, done = tagging.top(loaded.root), list[LayersmithError](), []
    for one in found:
        try:
            with tagging.checkout(loaded.root, f"refs/tags/{one['tag']}") as tree:
                config = tree / loaded.path.resolve().relative_to(root)
                code = _release(args, one["layer"], config, tree / ".dist")
        except LayersmithError as problem:
            failed.append(problem)
            continue
        if code:
            failed.append(ShipError(f"{one['tag']} is not in order everywhere; see above"))
        elif code is not None:
            done.append(one["tag"])
    console.info(
        f"{console.counted(len(done), 'release')} in order besides those that layers.yaml names"
    )
    if args.json:
        console.emit_json({"published": done})
    if failed:
        raise ManyErrors(failed)
    return 0


def _release(args: argparse.Namespace, layer: str, config: Path, dist: Path) -> int | None:
    """Publish one release from its own work tree; return an exit code, None without a zip of it."""
    chosen = {**vars(args), "config": config, "dist": dist, "layer": [layer], "json": False}
    now = argparse.Namespace(**{**chosen, "built": False, "step": "fetch"})
    _fetch(now)
    if not any(dist.glob("*.zip")):
        return None
    return _publish(argparse.Namespace(**{**chosen, "built": True, "step": "apply"}))


def unchanged(path: Path, now: dict[str, Any]) -> None:
    """Refuse to apply another plan than the one that was looked at.

    Args:
        path: The plan that was looked at.
        now: The plan as it is now, as ``publish plan`` writes it.

    Raises:
        ShipError: Accounts, zips or steps are others, or the file is not a plan.
    """
    again = "look at `publish plan` again"
    with damage.told(path.name, ShipError, kind="plan", hint=again):
        plan = json.loads(path.read_text(encoding="utf-8"))
        written = plan["format"]
        accounts, artifacts, actions = plan.get("accounts"), plan.get("artifacts"), plan["actions"]
        numbers = {one["partition"]: one["account"] for one in accounts or ()}
        zips = {name: one["sha256"] for name, one in (artifacts or {}).items()}
    if written != FORMAT:
        raise ShipError(f"{path.name} was made by another version of layersmith", hint=again)
    found = {one["partition"]: one["account"] for one in now["accounts"]}
    if numbers != found:
        raise ShipError(
            f"{path.name} is for account {_spell(numbers)}; this run is for {_spell(found)}",
            cause="the credentials, --role or --profile are others than those of the plan",
            hint=f"sign in to the account of the plan, or {again}",
        )
    changed = [name for name, one in now["artifacts"].items() if zips.get(name) != one["sha256"]]
    if gone := changed or sorted(zips.keys() - now["artifacts"].keys()):
        raise ShipError(
            f"the zips are not those of {path.name}",
            target=gone[0],
            cause="they were built again, or other targets were chosen: " + ", ".join(gone),
            hint=f"fetch or build the zips of the plan, or {again}",
        )
    if actions != now["actions"]:
        raise ShipError(
            f"the accounts have changed since {path.name} was made",
            cause="a version or a pointer was published or changed in the meantime",
            hint=again,
        )


def _spell(accounts: dict[str, str]) -> str:
    return ", ".join(f"{one} ({partition})" for partition, one in accounts.items()) or "none"


def _confirm(args: argparse.Namespace, job: ShippingJob, made: Plan) -> None:
    """Show the plan and ask, unless told not to."""
    if args.yes:
        return
    out = console.stderr()
    out.print(progress.actions_table(made.actions, out.width))
    moves.confirm(len(made.actions), job.site.where)


def _document(job: ShippingJob, made: Plan, failed: Sequence[Quarantined]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "accounts": _accounts(job),
        "artifacts": {
            want.identifier: {
                "version": want.version,
                "file": want.zip_path.name,
                "sha256": base64.b64decode(want.sha256).hex(),
                "size": want.size,
            }
            for want in job.desired
        },
        "actions": [action.to_json() for action in made.actions],
        **_problems(made.findings, failed),
    }


def _accounts(job: ShippingJob) -> list[dict[str, str]]:
    return [dataclasses.asdict(one) for one in job.site.accounts]


def _problems(findings: Sequence[RegionFinding], failed: Sequence[Quarantined]) -> dict[str, Any]:
    return {
        "findings": [dataclasses.asdict(one) for one in findings],
        "quarantined": [dataclasses.asdict(one) for one in failed],
    }

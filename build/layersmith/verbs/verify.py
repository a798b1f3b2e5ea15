"""``verify``: proves region by region that what is published is what was built."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache, console
from layersmith.errors import ShipError
from layersmith.report import tables
from layersmith.ship import github
from layersmith.ship.publish import observed, plan, progress
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse

EPILOG = """\
Compares digest, compatible runtime and architecture, description, licence, permissions, pointers
and, for aligned layers, the integer version. Nothing is changed. Exit code 9 and a table say what
differs; a region that cannot be read is a difference, too.

examples:
  python build/layers.py verify
  python build/layers.py verify --layer chromadb-vector --region all
  python build/layers.py verify --json
  python build/layers.py verify --summary drift.md       as Markdown, for a step summary or issue
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = EPILOG
    options.add_artifacts(parser)
    parser.add_argument("--summary", type=Path, help="write the result as Markdown to this file")
    parser.add_argument(
        "--github-issue",
        action="store_true",
        help="open, update or close the issue about drift (in a workflow run)",
    )


def run(args: argparse.Namespace) -> int:
    """Read every region and compare."""
    job = options.job(args)
    states, failed = observed.read_all(
        job.site.aws, job.site.stack, job.desired, workers=job.site.workers
    )
    found = plan.differences(job.desired, states)
    withdrawn = plan.withdrawn(job.desired, states)
    if args.json:
        console.emit_json(
            {
                "format": 1,
                "accounts": [dataclasses.asdict(one) for one in job.site.accounts],
                "checked": {state.region: sorted(state.held) for state in states.values()},
                "findings": [dataclasses.asdict(one) for one in found],
                "withdrawn": withdrawn,
                "quarantined": [dataclasses.asdict(one) for one in failed],
            }
        )
    progress.show(found, failed)
    for line in withdrawn:
        console.info(line)
    text = progress.markdown(found, failed)
    if args.summary:
        cache.write_text(args.summary, text)
    tables.step_summary(text)
    if args.github_issue:
        repository, differs = github.Repository.current(), bool(found or failed)
        console.info(repository.report(text, differs=differs, scope=args.partition or ""))
    count = sum(len(state.held) for state in states.values())
    if found or failed:
        differ = "{} in {}, {} unread".format(
            console.counted(len(found), "difference"),
            console.counted(count, "place"),
            console.counted(len(failed), "region"),
        )
        console.warn(f"{differ}; {job.site.where}")
        return ShipError.exit_code
    places = f"{count} places in {len(states)} regions of {job.site.where}"
    console.success(f"{places} hold what was built")
    return 0

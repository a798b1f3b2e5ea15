"""``release``: bumps a layer's version, checks that it fits, writes changelog and tag."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import console, plan
from layersmith.base import versions
from layersmith.config import loader
from layersmith.errors import ConfigError
from layersmith.report import tables
from layersmith.ship.release import bumps, steps, tagging
from layersmith.supply import commits
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from layersmith.assemble.manifest import Manifest

EPILOG = """\
Compares the manifests in dist/ with those of the last release. A distribution or module that went,
or another major version of one, asks for a major release; a new one for a minor; other bytes for a
patch. Then layers.yaml and CHANGELOG.md are changed, committed and tagged LAYER-vX.Y.Z in one step.
What the layer is built from has to be committed: layers.yaml, locks, package sources, stubs, smoke
test and requirements files. Before the tag is made, the commit is built in a clean work tree, and
its zips must be those in dist/. Commit and tag are signed where commit.gpgsign and tag.gpgsign say
so. Pushing the tag runs release.yml. Without --baseline it is the first release: the version stays.

Where the branch is protected, --pull-request puts the commit on the branch release/LAYER-vX.Y.Z and
changes nothing else. After the merge, pull, build and run it with --merged, which makes the tag.

--pre rc makes 1.3.0-rc.1, then 1.3.0-rc.2; without it, 1.3.0 follows. All are compared with the
last release that was not a pre-release. They become `latest` only where publish is told so.

examples:
  python build/layers.py release chromadb-vector                            the first release
  python build/layers.py release chromadb-vector --baseline last/ --dry-run
  python build/layers.py release chromadb-vector --baseline last/ --bump minor
  python build/layers.py release chromadb-vector --baseline last/ --pre rc
  python build/layers.py release imaging --baseline last/ --bump patch --force "was never used"
  python build/layers.py release imaging --baseline last/ --pull-request
  python build/layers.py release imaging --merged

in the workflows:
  python build/layers.py release --from-tag chromadb-vector-v1.2.0      layer and matrix of a tag
  python build/layers.py release --compare first/ second/               two builds, the same bytes
  python build/layers.py release --recent 30 --json                     what nightly.yml publishes
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = EPILOG
    parser.add_argument("layer", metavar="LAYER", nargs="?", help="name of the layer")
    parser.add_argument("--from-tag", metavar="TAG", help="check a tag and print what it releases")
    parser.add_argument(
        "--compare", nargs=2, type=Path, metavar="DIR", help="compare the zips of two builds"
    )
    parser.add_argument(
        "--recent",
        type=options.at_least(0),
        metavar="DAYS",
        help="print GitHub's releases of the last DAYS days that layers.yaml does not name",
    )
    parser.add_argument(
        "--bump",
        choices=["patch", "minor", "major"],
        help="part of the version to raise; without it the least that fits",
    )
    parser.add_argument("--baseline", type=Path, help="folder with the last release's manifests")
    parser.add_argument(
        "--force",
        metavar="REASON",
        help="use this bump even though the changes call for a larger one",
    )
    parser.add_argument(
        "--pre", choices=["alpha", "beta", "rc"], help="make a pre-release, such as 1.3.0-rc.1"
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--pull-request", action="store_true", help="commit to a branch of its own, without a tag"
    )
    way.add_argument(
        "--merged", action="store_true", help="tag HEAD, which has the merged pull request"
    )
    parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
    options.add_config(parser)
    options.add_dist(parser)


def run(args: argparse.Namespace) -> int:
    """Decide the release and write it down, or serve release.yml."""
    if args.compare:
        return _compare(args, *args.compare)
    if args.from_tag:
        return _from_tag(args)
    if args.recent is not None:
        return _recent(args)
    if not args.layer:
        raise ConfigError("name the layer to release", hint="see `release --help`")
    loaded = loader.load(args.config)
    book = options.recipe_book(loaded)
    targets = plan.plan(loaded.config, layers=[args.layer], book=book)
    built = steps.read_manifests(targets, args.dist)
    if args.merged:
        return _merged(args, loaded, targets, built)
    old = steps.read_baseline(args.layer, args.baseline) if args.baseline else {}
    release = steps.decide(
        args.layer,
        targets[0].version,
        bumps.Bump[args.bump.upper()] if args.bump else None,
        last=next((manifest.version for manifest in old.values()), None),
        found=bumps.changes(old, built) if old else [],
        force=args.force,
        pre=args.pre,
    )
    for change in release.found:
        console.info(f"{change.bump.name.lower():<6} {change.text}")
    commit, inputs = None, commits.inputs(targets, loaded.root)
    if not args.dry_run:
        write = steps.offer if args.pull_request else steps.write
        commit = write(release, loaded, built, inputs)
    if args.json:
        changes = [{"bump": c.bump.name.lower(), "text": c.text} for c in release.found]
        console.emit_json(
            {
                "layer": release.layer,
                "from": release.old,
                "version": release.version,
                "tag": release.tag,
                "commit": commit,
                "changes": changes,
            }
        )
    if args.dry_run:
        # After the data: which bump fits is of use before everything is committed, too.
        steps.check(release, loaded, inputs)
    _say(release, commit, pull_request=args.pull_request)
    return 0


def _say(release: steps.Release, commit: str | None, *, pull_request: bool) -> None:
    """Say what was done, and what a user does next."""
    if commit is None:
        console.info(f"would release {release.tag} (was {release.old})")
    elif pull_request:
        branch = tagging.branch_name(release.tag)
        console.success(f"{release.tag} is committed on the branch {branch}, without a tag")
        console.info(f"next: git push origin {branch} && gh pr create --fill --head {branch}")
        console.info(
            "after the merge: git pull, then `python build/layers.py build` and "
            f"`python build/layers.py release {release.layer} --merged`"
        )
    else:
        console.success(f"{release.tag} is committed and tagged")
        console.info(f"next: git push --atomic origin HEAD {release.tag}")


def _merged(
    args: argparse.Namespace,
    loaded: loader.LoadedConfig,
    targets: Sequence[plan.Target],
    built: Mapping[str, Manifest],
) -> int:
    """Tag what was merged."""
    if args.dry_run or args.baseline or args.bump or args.force or args.pre:
        raise ConfigError(
            "--merged takes the version from layers.yaml",
            hint="leave --baseline, --bump, --force, --pre and --dry-run out",
        )
    tag, commit = steps.tag_merged(args.layer, loaded, built, commits.inputs(targets, loaded.root))
    if args.json:
        console.emit_json({"layer": args.layer, "tag": tag, "commit": commit})
    console.success(f"{tag} is tagged")
    console.info(f"next: git push origin {tag}")
    return 0


def _from_tag(args: argparse.Namespace) -> int:
    """Print the layer and the job matrix of a tag, for GitHub's jobs, too."""
    loaded = loader.load(args.config)
    layer = steps.of_tag(loaded.config, args.from_tag)
    targets = plan.plan(loaded.config, layers=[layer])
    version = targets[0].version
    said = {
        "layer": layer,
        "version": version,
        "prerelease": versions.is_prerelease(version),
        "matrix": plan.matrix(targets),
    }
    tables.step_outputs(**said)
    console.emit_json(said)
    return 0


def _recent(args: argparse.Namespace) -> int:
    """Print what the nightly run publishes beside the versions of layers.yaml."""
    from layersmith.ship import github  # noqa: PLC0415 -- needs an extra

    since = datetime.now(UTC) - timedelta(days=args.recent)
    tags = github.Repository.current().released(since)
    found = steps.elsewhere(loader.load(args.config).config, tags)
    if args.json:
        console.emit_json(found)
    else:
        for one in found:
            console.emit_text(one["tag"])
    return 0


def _compare(args: argparse.Namespace, first: Path, second: Path) -> int:
    """Refuse two builds whose zips differ."""
    count = steps.same_bytes(first, second)
    console.success(f"the same in both builds: {console.counted(count, 'zip')}")
    if args.json:
        console.emit_json({"same": count})
    return 0

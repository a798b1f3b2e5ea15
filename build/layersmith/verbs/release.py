"""``release``: bumps a layer's version, checks that it fits, writes changelog and tag."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import console, plan
from layersmith.config import loader
from layersmith.errors import ConfigError
from layersmith.ship.release import bumps, steps
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse

EPILOG = """\
Compares the manifests in dist/ with those of the last release. A distribution or module that went,
or another major version of one, asks for a major release; a new one for a minor; other bytes for a
patch. Then layers.yaml and CHANGELOG.md are changed, committed and tagged LAYER-vX.Y.Z in one step.
What the layer is built from has to be committed: layers.yaml, locks, package sources, stubs, smoke
test and requirements files. Commit and tag are signed where commit.gpgsign and tag.gpgsign say so.
Pushing the tag runs release.yml. Without --baseline it is the first release: the version stays.

examples:
  python build/layers.py release chromadb-vector                            the first release
  python build/layers.py release chromadb-vector --baseline last/ --dry-run
  python build/layers.py release chromadb-vector --baseline last/ --bump minor
  python build/layers.py release imaging --baseline last/ --bump patch --force "was never used"

in release.yml:
  python build/layers.py release --from-tag chromadb-vector-v1.2.0      layer and matrix of a tag
  python build/layers.py release --compare first/ second/               two builds, the same bytes
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
    parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
    options.add_config(parser)
    options.add_dist(parser)


def run(args: argparse.Namespace) -> int:
    """Decide the release and write it down, or serve release.yml."""
    if args.compare:
        return _compare(args, *args.compare)
    if args.from_tag:
        return _from_tag(args)
    if not args.layer:
        raise ConfigError("name the layer to release", hint="see `release --help`")
    loaded = loader.load(args.config)
    book = options.recipe_book(loaded)
    targets = plan.plan(loaded.config, layers=[args.layer], book=book)
    found = None
    if args.baseline:
        old = steps.read_baseline(args.layer, args.baseline)
        found = bumps.changes(old, steps.read_manifests(targets, args.dist))
    asked = bumps.Bump[args.bump.upper()] if args.bump else None
    release = steps.decide(args.layer, targets[0].version, asked, found=found, force=args.force)
    for change in release.found:
        console.info(f"{change.bump.name.lower():<6} {change.text}")
    commit = None if args.dry_run else steps.write(release, loaded, targets)
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
    if commit:
        console.success(f"{release.tag} is committed and tagged")
        console.info(f"next: git push --atomic origin HEAD {release.tag}")
    else:
        console.info(f"would release {release.tag} (was {release.old})")
    return 0


def _from_tag(args: argparse.Namespace) -> int:
    """Print the layer and the job matrix of a tag, for GitHub's jobs, too."""
    loaded = loader.load(args.config)
    layer = steps.of_tag(loaded.config, args.from_tag)
    targets = plan.plan(loaded.config, layers=[layer])
    said = {"layer": layer, "version": targets[0].version, "matrix": plan.matrix(targets)}
    output = os.environ.get("GITHUB_OUTPUT")
    if output:
        with Path(output).open("a", encoding="utf-8") as stream:
            for key, value in said.items():
                text = value if isinstance(value, str) else json.dumps(value)
                stream.write(f"{key}={text}\n")
    console.emit_json(said)
    return 0


def _compare(args: argparse.Namespace, first: Path, second: Path) -> int:
    """Refuse two builds whose zips differ."""
    count = steps.same_bytes(first, second)
    console.success(f"{count} zips are the same in both builds")
    if args.json:
        console.emit_json({"same": count})
    return 0

"""``reproduce``: builds a published layer again from its commit and compares the bytes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache, console
from layersmith.errors import ConfigError, LayersmithError, ManyErrors, ProofError
from layersmith.report import tables
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse

    from layersmith.supply.reproduce import Published, Reproduction

EPILOG = """\
Fetches the zip and its manifest, checks out the commit that the manifest names, builds it with
empty caches, and prints that the SHA-256 is the same, or the first member that differs and in what.
A zip needs no credentials; its manifest lies beside it. An ARN needs those of an account that may
read it, and the manifest from the artifact bucket, or --manifest. A tag is that of a release on
GitHub. The repository is that of the working directory, or --repository; it decides what code is
run, so that a manifest cannot. docs/trust.md says what the result means.

Exit code 8: it differs, or cannot be built again: the commit does not exist or is not in a shallow
clone, or the zip was built from uncommitted changes.

examples:
  python build/layers.py reproduce dist/imaging-1.0.0-python3.13-arm64.zip
  python build/layers.py reproduce arn:aws:lambda:eu-west-1:123456789012:layer:imaging-python3-13-arm64:7
  python build/layers.py reproduce imaging-v1.0.0 --runtime python3.13
  python build/layers.py reproduce --pick 2026-11-26             one of all releases
  python build/layers.py reproduce FILE.zip --repository https://github.com/owner/name --container
"""  # noqa: E501 -- an ARN


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    from layersmith.ship.aws import accounts  # noqa: F401, PLC0415 -- says early that it is missing

    parser.epilog = EPILOG
    parser.add_argument(
        "published", nargs="?", metavar="ARN|ZIP|TAG", help="a layer version, a zip, or a release"
    )
    parser.add_argument(
        "--pick",
        metavar="SEED",
        help="one zip of one release on GitHub, the same for the same seed, such as a date",
    )
    parser.add_argument(
        "--repository", default=".", metavar="DIR|URL", help="where the commit is (default: here)"
    )
    parser.add_argument(
        "--manifest", metavar="FILE|URL", help="the manifest, where it is not beside the zip"
    )
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="caches to build with (default: empty ones)"
    )
    parser.add_argument(
        "--container",
        nargs="?",
        const="",
        metavar="IMAGE",
        help="build in a container without any login (default: AWS's build image)",
    )
    parser.add_argument("--out", type=Path, help="also write the result as JSON to this file")
    parser.add_argument("--download", type=Path, metavar="DIR", help="keep what was fetched there")
    for name, example in (("runtime", "python3.13"), ("arch", "arm64")):
        parser.add_argument(
            f"--{name}",
            action="append",
            default=[],
            help=f"of a release, only this, e.g. {example}; repeatable",
        )
    options.add_accounts(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        ManyErrors: A layer differs, or cannot be built again.
    """
    from layersmith.supply import reproduce  # noqa: PLC0415 -- start-up time

    results, errors = list[reproduce.Reproduction](), list[LayersmithError]()
    with (
        tempfile.TemporaryDirectory(prefix="layersmith-reproduce-") as scratch,
        reproduce.repository(args.repository) as root,
    ):
        folder = Path(scratch).resolve()
        caches = args.cache.resolve() if args.cache else folder / "cache"
        for one in _fetched(args, args.download or folder, root):
            try:
                results.append(reproduce.run(one, root, caches, args.container))
            except ProofError as problem:
                errors.append(problem)
    document = [one.model_dump(mode="json") for one in results]
    if args.json:
        console.emit_json({"layers": document})
    if args.out:
        cache.write_text(args.out, json.dumps({"layers": document}, indent=1) + "\n")
    for result in results:
        if result.reproduced:
            console.success(result.text)
        else:
            errors.append(_differs(result))
    if not results and not errors:
        console.info("there is no release of a layer yet")
    tables.step_outputs(reproduced=len([one for one in results if one.reproduced]))
    tables.step_summary("".join(f"- {one.text}\n" for one in results))
    if errors:
        raise ManyErrors(errors)
    return 0


def _differs(one: Reproduction) -> ProofError:
    cause = "; ".join(one.tools)
    return ProofError(
        one.text.partition(": ")[2],
        target=one.target,
        cause=cause
        or "the tools are of the same versions: the zip holds what its commit does not "
        "build, or the build is not deterministic",
        hint="install the versions of the manifest's `tools` and try again"
        if cause
        else "compare both zips, and ask whoever published the layer",
    )


def _fetched(args: argparse.Namespace, folder: Path, root: Path) -> list[Published]:
    from layersmith.ship import published  # noqa: PLC0415 -- boto3's start-up time
    from layersmith.ship.github import Repository  # noqa: PLC0415 -- start-up time

    folder.mkdir(parents=True, exist_ok=True)
    what = args.published
    if bool(what) == bool(args.pick):
        raise ConfigError("name one of ARN, ZIP, TAG and --pick", hint="see `reproduce --help`")
    if args.pick:
        return published.pick(args.pick, Repository.of(root), folder)
    if what.startswith("arn:"):
        access = options.access(args)
        return [published.of_version(what, access, args.stack, folder, args.manifest)]
    if what.partition("?")[0].endswith(".zip"):
        return [published.of_zip(what, folder, args.manifest)]
    found = published.of_release(what, Repository.of(root), folder)
    return published.only(found, args.runtime, args.arch)

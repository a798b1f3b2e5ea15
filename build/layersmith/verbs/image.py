"""`image`: make a base image for the proofs, or pin AWS's own by digest."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.base import architectures, runtimes

if TYPE_CHECKING:
    import argparse

EPILOG = """\
The Docker proofs need an image with the layout of a Lambda runtime. Where a container registry
can be reached, AWS's own is used, by its digest in build/layersmith/prove/base_images/images.json.
Elsewhere this verb makes a stand-in from Debian packages, AWS's runtime interface client and
boto3, in seconds and without running anything emulated. It can make {runtimes}.

examples:
  python build/layers.py image --runtime python3.13   build the stand-in, unless it exists
  python build/layers.py image --force                make it anew
  python build/layers.py image --pin                  write AWS's digests into images.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    made = [one.name for one in runtimes.RUNTIMES.values() if one.suite]
    parser.epilog = EPILOG.replace("{runtimes}", ", ".join(made))
    parser.add_argument(
        "--runtime",
        action="append",
        default=[],
        help=f"runtime to make it for (default: {runtimes.DEFAULT}; with --pin: all)",
    )
    parser.add_argument(
        "--arch",
        "--architecture",
        dest="architecture",
        default="arm64",
        choices=architectures.NAMES,
        help="default: arm64",
    )
    parser.add_argument("--force", action="store_true", help="rebuild the image even if it exists")
    parser.add_argument("--pin", action="store_true", help="only refresh the pinned digests")


def run(args: argparse.Namespace) -> int:
    """Make or pin the images that were asked for."""
    from layersmith.engine.client import Engine  # noqa: PLC0415
    from layersmith.prove import base_images  # noqa: PLC0415 -- start-up time

    engine = Engine(run="image")
    if args.pin:
        wanted = [runtimes.get(name) for name in args.runtime or runtimes.RUNTIMES]
        digests = base_images.pin(
            engine, wanted, Path(base_images.__file__).with_name("images.json")
        )
        console.success(f"pinned {console.counted(len(digests), 'runtime')} in images.json")
        if args.json:
            console.emit_json(digests)
        return 0
    made = []
    for name in args.runtime or [runtimes.DEFAULT]:
        began = time.monotonic()
        choice, new = base_images.ensure_standin(
            engine, runtimes.get(name), args.architecture, force=args.force
        )
        took = time.monotonic() - began
        if new:
            console.success(f"made {choice.facts.name} in {took:.1f} s")
        else:
            console.info(f"{choice.facts.name} is there")
        made.append(
            {"runtime": name, "image": choice.facts.name, "id": choice.facts.id, "new": new}
        )
    if args.json:
        console.emit_json(made)
    return 0

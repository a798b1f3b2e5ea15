"""`init`: write a layers.yaml, smoke files and a workflow for the repository it runs in."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.adopt import detect, write

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from layersmith.adopt.models import FoundRepository, NewFile

EPILOG = """\
what it looks at:
  requirements.txt, pyproject.toml (uv workspaces and Poetry included), Pipfile, the locks beside
  them, and the functions of SAM, CloudFormation and Serverless templates: their code, runtimes,
  architectures, memory and timeouts.
what it writes:
  layers.yaml with comments, one smoke file per layer below tests/smoke, and a GitHub workflow. They
  are shown first, and written after a yes. A file that exists is left unchanged.

examples:
  layersmith init              show the files, then ask
  layersmith init --dry-run    show them only; so does a run without a terminal
  layersmith init --yes        write them without asking
"""

NEXT = ("layersmith lock", "layersmith build", "layersmith smoke")
"""What to run next."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    parser.add_argument("--yes", action="store_true", help="write the files without asking")
    parser.add_argument("--dry-run", action="store_true", help="show the files, write nothing")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    root = Path.cwd()
    found = detect.detect(root)
    planned = write.files(found, root)
    # With --yes before anything is printed: a pipe that is closed early does not stop it.
    told = args.yes and not args.dry_run
    done = write.write(planned, root) if told else planned
    if not args.json:
        _show(planned)
    for notice in found.notices:
        console.warn(f"{notice.file}: {notice.text}")
    if not told and _agreed(args, planned):
        done = write.write(planned, root)
    if args.json:
        console.emit_json(
            {
                "files": [dataclasses.asdict(one) for one in done],
                "layers": [dataclasses.asdict(one) for one in found.layers],
                "functions": [dataclasses.asdict(one) for one in found.functions],
                "notices": [dataclasses.asdict(one) for one in found.notices],
                "next": list(NEXT),
            }
        )
    _close(done, found)
    return 0


def _agreed(args: argparse.Namespace, planned: Sequence[NewFile]) -> bool:
    """Ask whether to write; without a terminal, or with --json, the answer is no."""
    count = sum(file.state == "new" for file in planned)
    if args.dry_run or args.json or not count or not console.can_ask():
        return False
    return console.confirm(f"Write {_files(count)}? [y/N] ")


def _show(planned: Sequence[NewFile]) -> None:
    """Print the files as a diff does."""
    out = console.stdout()
    for file in planned:
        if file.state == "exists":
            out.print(f"    {file.path} exists: left unchanged", markup=False, style="yellow")
            continue
        out.print(f"+++ {file.path}", markup=False, style="bold")
        for line in file.content.splitlines():
            out.print(f"+ {line}".rstrip(), markup=False, highlight=False, style="green")
        out.print()


def _close(done: Sequence[NewFile], found: FoundRepository) -> None:
    written = [file.path for file in done if file.state == "written"]
    waiting = [file.path for file in done if file.state == "new"]
    if not found.layers:
        console.info("no requirements were found here; layers.yaml has an example")
    if waiting:
        count = _files(len(waiting))
        console.info(f"nothing was written; `layersmith init --yes` writes {count}")
    elif written:
        console.success(f"wrote {', '.join(written)}")
    else:
        console.info("every file exists: nothing was written")
    if not waiting:
        console.info("\n  ".join(["next:", *NEXT]))


def _files(count: int) -> str:
    return f"{count} file{'s' if count > 1 else ''}"

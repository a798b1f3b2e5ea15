"""`weigh`: say what requirements weigh, who pulls it, and whether it fits."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import re
import threading
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache, console
from layersmith.base import architectures, runtimes
from layersmith.errors import BudgetError, ConfigError, LayersmithError, ManyErrors
from layersmith.verbs import options

if TYPE_CHECKING:
    from layersmith.adopt.models import Notice
    from layersmith.config.models import RequirementsFile
    from layersmith.plan import Target
    from layersmith.weigh.models import Weighing

DEFAULT_RUNTIME, DEFAULT_ARCHITECTURE = runtimes.DEFAULT, "arm64"
"""What requirements on the command line are weighed for where no option says."""

EPILOG = """\
what it says:
  the verdict (fits, fits with excludes, does not fit) against 262,144,000 bytes over all layers of
  a function, 50 MB for a direct upload, and the layer's budgets; every distribution with its own
  bytes, the bytes it retains (what would go if it went), and the shortest chain that pulls it; and
  what would make it smaller, with the bytes saved.
  Nothing is built: sizes come from the directories of wheels, read by range requests.

examples:
  python build/layers.py weigh -r requirements.txt        in any folder; no layers.yaml is needed
  python build/layers.py weigh -r uv.lock                 what the project asks for, in its versions
  python build/layers.py weigh 'chromadb==1.5.9' --runtime python3.12 --arch arm64
  python build/layers.py weigh 'psycopg[binary]' pandas --json
  python build/layers.py weigh -r requirements.txt --all --depth 9
  python build/layers.py weigh chromadb-vector          a layer of layers.yaml, by its lock
  python build/layers.py weigh --save                   all layers; writes dist/*.analysis.json
  python build/layers.py weigh 'chromadb==0.5.23' --exclude-newer 2024-12-20

exit code: 0 whatever the verdict is; with --check 7 where it does not fit.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    parser.add_argument(
        "what",
        nargs="*",
        metavar="WHAT",
        help="requirements (PEP 508), a requirements file, or names of layers; default: all layers",
    )
    parser.add_argument(
        "-r",
        "--requirements",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a requirements file (repeatable), or a pyproject.toml, Pipfile or lock of a project",
    )
    options.add_filters(parser, positional=False)
    options.add_dist(parser)
    parser.add_argument(
        "--exclude-newer",
        metavar="DATE",
        type=_date,
        help="resolve as of that day (ISO 8601); the index must provide upload times",
    )
    parser.add_argument("--all", action="store_true", help="show every distribution")
    parser.add_argument(
        "--depth",
        type=options.at_least(0),
        default=3,
        metavar="N",
        help="levels of the dependency tree (3)",
    )
    parser.add_argument("--no-tree", action="store_true", help="leave the dependency tree out")
    parser.add_argument("--check", action="store_true", help="exit code 7 where it does not fit")
    parser.add_argument(
        "--save", action="store_true", help="write dist/<stem>.analysis.json for the report"
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        ManyErrors: Targets could not be weighed, or do not fit and --check is given.
    """
    from layersmith.report import weights  # noqa: PLC0415 -- start-up time
    from layersmith.weigh import target as weigh  # noqa: PLC0415 -- start-up time
    from layersmith.weigh import verdict  # noqa: PLC0415 -- start-up time

    if args.exclude_newer:
        # uv's own variable; there is no other way to it for calls that lie several rooms away.
        os.environ["UV_EXCLUDE_NEWER"] = args.exclude_newer
    root, targets = _chosen(args)
    _import_ahead("httpx", "rich.table", "rich.tree")
    found: list[Weighing] = []
    errors: list[LayersmithError] = []
    for target in targets:
        try:
            with console.progress() as display:
                display.add_task(target.identifier, total=None, step="weighing")
                weighing = verdict.report(weigh.weigh(target, root))
        except LayersmithError as problem:
            problem.target = problem.target or target.identifier
            errors.append(problem)
            continue
        found.append(weighing)
        if args.save:
            path = args.dist / f"{target.stem}.analysis.json"
            cache.write_text(path, weighing.model_dump_json(indent=1) + "\n")
        if not args.json:
            weights.show(
                weighing,
                top=0 if args.all else weights.TOP,
                depth=args.depth,
                tree=not args.no_tree,
            )
        if args.check and weighing.verdict.word == "does not fit":
            errors.append(_refusal(weighing))
    if args.json:
        reports = [weighing.model_dump(mode="json") for weighing in found]
        console.emit_json({"reports": reports})
    if errors:
        raise ManyErrors(errors) if len(errors) > 1 else errors[0]
    return 0


def _import_ahead(*modules: str) -> None:
    """Import what is needed later while the resolver, another process, is at work."""
    for module in modules:
        threading.Thread(target=importlib.import_module, args=(module,), daemon=True).start()


def _chosen(args: argparse.Namespace) -> tuple[Path, list[Target]]:
    """Return what is to be weighed, and the folder in which uv looks for its configuration."""
    from layersmith.config import loader  # noqa: PLC0415 -- start-up time

    if not args.what and not args.requirements:
        loaded, targets = options.chosen(args)
        return loaded.root, targets
    layers = loader.load(args.config).config.layers if args.config.is_file() else {}
    named = [word for word in args.what if word in layers]
    if named and len(named) == len(args.what) and not args.requirements:
        args.layer = [*args.layer, *named]
        loaded, targets = options.chosen(args)
        return loaded.root, targets
    if named or args.layer:
        raise ConfigError(
            "layers and requirements cannot be weighed together",
            hint=f"name only layers, or run `weigh` once for each: {', '.join(named)}",
        )
    return _from_requirements(args)


def _around(path: Path) -> Path:
    """Return the folder in which files that a file names are read: that of its repository.

    Without one it is the current folder, or that of a file from elsewhere.
    """
    folder = path.resolve().parent
    for above in (folder, *folder.parents):
        if (above / ".git").exists():
            return above
    return Path.cwd() if folder.is_relative_to(Path.cwd()) else folder


def _from_requirements(args: argparse.Namespace) -> tuple[Path, list[Target]]:
    from layersmith.adopt import projects  # noqa: PLC0415 -- start-up time
    from layersmith.lock import requirements  # noqa: PLC0415 -- start-up time
    from layersmith.weigh import target as weigh  # noqa: PLC0415 -- start-up time

    words = [word for word in args.what if not Path(word).is_file()]
    paths = [*args.requirements, *(Path(word) for word in args.what if Path(word).is_file())]
    for path in paths:
        if not path.is_file():
            raise ConfigError(f"there is no file {path}")
    project = next((path for path in paths if projects.is_project(path)), None)
    asked: list[str] | RequirementsFile
    held: list[str] | RequirementsFile
    if project:
        if len(paths) > 1 or words:
            raise ConfigError(
                f"{project.name} cannot be weighed together with anything else",
                cause="the sources and versions of one project hold for what it asks for",
                hint=f"run `weigh -r {project}` by itself",
            )
        notices: list[Notice] = []
        root, asked, held = projects.asked(project, _around(project), notices)
        for one in notices:
            console.warn(f"{one.file}: {one.text}")
    else:
        texts = [requirements.read(path, _around(path)) for path in paths]
        asked = [*(line for one in texts for line in one.requirements), *map(_requirement, words)]
        held = [line for one in texts for line in one.constraints]
        root = Path.cwd()
    if not asked:
        raise ConfigError(f"nothing is required in {', '.join(map(str, paths))}")
    for architecture in args.arch:
        if architecture not in architectures.NAMES:
            raise ConfigError(
                f"unknown architecture {architecture!r}",
                hint=f"known: {', '.join(architectures.NAMES)}",
            )
    first = re.match(r"[A-Za-z0-9._-]+", words[0]) if words else None
    name = paths[0].stem if paths else first[0] if first else "it"
    return root, [
        weigh.target_of(name, asked, runtimes.get(runtime), architecture, held)
        for runtime in args.runtime or [DEFAULT_RUNTIME]
        for architecture in args.arch or [DEFAULT_ARCHITECTURE]
    ]


def _requirement(word: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415

    options.refuse_file(word, "check the path of the file")
    try:
        Requirement(word)
    except InvalidRequirement as problem:
        raise ConfigError(
            f"{word!r} is not a requirement, a file or a layer: {problem}",
            hint="quote requirements for the shell: weigh 'chromadb==1.5.9'",
        ) from None
    return word


def _date(text: str) -> str:
    """Check a date or time in ISO 8601 and return it as it stands."""
    for read in (date.fromisoformat, datetime.fromisoformat):
        with contextlib.suppress(ValueError):
            read(text)
            return text
    raise argparse.ArgumentTypeError(f"{text!r} is not a date or time, e.g. 2026-11-26")


def _refusal(weighing: Weighing) -> BudgetError:
    return BudgetError(
        f"{weighing.verdict.word}: {weighing.verdict.text}",
        target=weighing.identifier,
        hint=weighing.advice[-1].text,
    )

"""`sbom`: print the bill of materials of a layer or of a whole function, in CycloneDX or SPDX."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from layersmith import cache, console
from layersmith.base import disk, runtimes
from layersmith.errors import BuildError, ConfigError
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from layersmith.config.models import Function
    from layersmith.report.found import FoundManifest
    from layersmith.supply.bills import BuiltPart, FunctionCode

FORMATS = {"cyclonedx": ".cdx.json", "spdx": ".spdx.json"}
"""Formats and the ends of their files: CycloneDX 1.6 and SPDX 2.3, both as JSON."""

EPILOG = """\
Reads the manifests in dist/ and the bills beside them; nothing is built. Without --function it
prints the bill of a layer, or of the zip of a function. With --function it puts together one of the
whole function: its own code, its layers each with all that is in them, the managed layers beside
them, and the distributions that the runtime provides, marked as such.

examples:
  python build/layers.py sbom imaging --runtime python3.13                  CycloneDX, to stdout
  python build/layers.py sbom imaging-python3.13-arm64 --format spdx
  python build/layers.py sbom --format spdx --write                         a file beside every zip
  python build/layers.py sbom --function vector-search --runtime python3.13
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    parser.add_argument(
        "what", nargs="*", metavar="LAYER|TARGET", help="only these (default: all that is built)"
    )
    options.add_layer_filters(parser)
    options.add_dist(parser)
    parser.add_argument(
        "--function",
        action="append",
        default=[],
        metavar="NAME",
        help="the whole function with its layers instead; repeatable",
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="cyclonedx", help="of the bill (default: cyclonedx)"
    )
    parser.add_argument(
        "--write", action="store_true", help="write files into dist/ instead of printing"
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        BuildError: Nothing has been built, or a manifest or bill is damaged.
        ConfigError: layers.yaml is not valid or has no such function, or more than one bill would
            be printed.
    """
    from layersmith.report import found  # noqa: PLC0415 -- start-up time
    from layersmith.supply import bills  # noqa: PLC0415 -- start-up time

    if args.what and args.function:
        raise ConfigError(
            "name layers or --function, not both", hint="run `sbom` once for each of them"
        )
    if args.dist.is_dir():
        disk.require_readable(args.dist)
    built = found.manifests_of(args.dist.glob("*.json"))
    made = dict(_functions(args, built) if args.function else _layers(args, built))
    if args.format == "spdx":
        made = {stem: bills.to_spdx(bill) for stem, bill in made.items()}
    if args.write:
        paths = [_write(args.dist / f"{stem}{FORMATS[args.format]}", made[stem]) for stem in made]
    if args.json:
        printed = [
            bills.PrintedBill(name=stem, format=args.format, document=bill)
            for stem, bill in made.items()
        ]
        console.emit_json({"bills": [one.model_dump(mode="json") for one in printed]})
    elif args.write:
        for path in paths:
            console.info(f"wrote {path}")
    elif len(made) > 1:
        raise ConfigError(
            f"{len(made)} bills fit: {', '.join(made)}",
            hint=f"choose one with {'' if args.function else 'TARGET, '}--runtime and --arch,"
            " or pass --write or --json",
        )
    else:
        console.emit_text(_text(next(iter(made.values()))).rstrip("\n"))
    return 0


def _layers(
    args: argparse.Namespace, built: dict[str, FoundManifest]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the bills of zips, by the stem of their files."""
    from layersmith.supply import bills  # noqa: PLC0415 -- start-up time

    called = {key: {key, one.manifest.layer, one.path.stem} for key, one in built.items()}
    unknown = [name for name in args.what if not any(name in names for names in called.values())]
    fitting = {
        key: one
        for key, one in built.items()
        if (not args.what or called[key] & {*args.what}) and _fits(args, one)
    }
    if unknown or not fitting:
        raise BuildError(
            f"{args.dist} has no manifest of {', '.join(unknown)}"
            if unknown
            else f"{args.dist} has no manifests that fit",
            hint="run `nox -s build`",
        )
    for one in fitting.values():
        yield one.path.stem, bills.read(one.path.with_suffix(".cdx.json"))


def _functions(
    args: argparse.Namespace, built: dict[str, FoundManifest]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the bills of functions on every platform that all of their layers are built for."""
    from layersmith.config import loader  # noqa: PLC0415 -- start-up time
    from layersmith.supply import bills  # noqa: PLC0415 -- start-up time

    loaded = loader.load(args.config)
    known = loaded.config.functions
    for name in args.function:
        if name not in known:
            raise ConfigError(
                f"layers.yaml has no function {name!r}",
                hint=f"it has {', '.join(known)}" if known else "name it under `functions`",
            )
        function = known[name]
        needed = [*function.layers, *([name] if function.package else [])]
        platforms = sorted({(m.manifest.runtime, m.manifest.architecture) for m in built.values()})
        complete = [
            one
            for one in platforms
            if all(f"{part}-{one[0]}-{one[1]}" in built for part in needed)
            and (not args.runtime or one[0] in args.runtime)
            and (not args.arch or one[1] in args.arch)
        ]
        if not complete:
            raise BuildError(
                f"not all parts of {name} are built: {', '.join(needed)}",
                hint=f"run `layersmith build {' '.join(needed)}`",
            )
        for runtime, architecture in complete:
            parts = {part: _part(built[f"{part}-{runtime}-{architecture}"]) for part in needed}
            yield (
                f"{name}-{runtime}-{architecture}.function",
                bills.of_function(
                    name,
                    runtimes.get(runtime),
                    architecture,
                    [parts[layer] for layer in function.layers],
                    parts[name] if function.package else _code(function, loaded.root),
                ),
            )


def _part(one: FoundManifest) -> BuiltPart:
    from layersmith.supply import bills  # noqa: PLC0415 -- start-up time

    return bills.BuiltPart(one.manifest, bills.read(one.path.with_suffix(".cdx.json")))


def _code(function: Function, root: Path) -> FunctionCode | None:
    from layersmith.supply import bills  # noqa: PLC0415 -- start-up time

    return bills.FunctionCode(function.code, root / function.code) if function.code else None


def _fits(args: argparse.Namespace, one: FoundManifest) -> bool:
    manifest = one.manifest
    return (not args.runtime or manifest.runtime in args.runtime) and (
        not args.arch or manifest.architecture in args.arch
    )


def _write(path: Path, bill: dict[str, Any]) -> Path:
    with disk.explained(BuildError, dist=path.parent):
        cache.write_text(path, _text(bill))
    return path


def _text(bill: dict[str, Any]) -> str:
    return json.dumps(bill, indent=1, ensure_ascii=False) + "\n"

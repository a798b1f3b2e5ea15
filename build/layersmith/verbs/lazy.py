"""`lazy`: propose imports of a function's own code that can wait until something uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith import cache, console
from layersmith.errors import ConfigError, LayersmithError, ManyErrors
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from layersmith.config.loader import LoadedConfig
    from layersmith.plan import Target
    from layersmith.prove.cold.lazy import LazyFunction
    from layersmith.prove.cold.models import LazyImport, LazyReport, Saved

EPILOG = """\
what it does to a function of layers.yaml that has `code` and `event`:
  move each import at the top of its own modules, in a copy, to the statements that use it; start
  the copy once with the sample event, and see which of them are imported all the same; then start
  the unchanged function, one with each import that waits moved, and one with all moved, in turns in
  fresh processes. Printed is what each saves until the first answer, and for a million cold starts
  at the function's memory. Nothing of yours is changed. On python3.15 and later, the interpreter's
  own lazy imports (PYTHON_LAZY_IMPORTS=all) are one more variant.
  Results go to dist/<function>.lazy.json; `report` shows them.

what it does not see:
  an import that waits is made by the first invocation that uses it, which then takes longer. An
  import that registers something, or must happen first, has to stay: only the sample event was
  tried.

examples:
  python build/layers.py lazy query
  python build/layers.py lazy --runtime python3.13 --starts 21 --json
"""

WORDS = {
    "waits": "can wait",
    "first-call": "needed by the first invocation",
    "init": "needed by INIT",
    "stays": "stays",
    "fails": "fails when it waits",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    parser.add_argument(
        "functions", nargs="*", metavar="FUNCTION", help="only these functions of layers.yaml"
    )
    options.add_layer_filters(parser)
    parser.set_defaults(layer=[])  # functions are named, not layers
    options.add_dist(parser)
    options.add_runner(parser, default="host", why="as there are many starts")
    options.add_starts(parser, 11)


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        ConfigError: A function does not exist, or none has code and a sample event.
        ManyErrors: Functions do not start unchanged, or are not built; the others were measured.
    """
    from layersmith.prove import runners  # noqa: PLC0415 -- start-up time
    from layersmith.prove.cold import bill, lazy  # noqa: PLC0415 -- start-up time
    from layersmith.ship.cost import billing  # noqa: PLC0415 -- start-up time

    prices = billing.load()
    loaded, targets = options.chosen(args, packages=True)
    reports: list[LazyReport] = []
    errors: list[LayersmithError] = []
    for name in _names(args.functions, loaded):
        try:
            with console.phases(f"function {name}") as show:
                show("preparing the runtime")
                first, function = _function(name, loaded, targets, args)
                price = prices.table[billing.GB_SECOND[first.architecture]]
                made = runners.make(
                    args.runner, first.runtime, first.architecture, image=args.image
                )
                with made as opened:
                    priced = bill.Price(price, prices.currency, prices.date)
                    report = lazy.propose(function, opened, args.starts, priced, show)
        except LayersmithError as problem:
            problem.target = problem.target or f"function {name}"
            errors.append(problem)
            continue
        reports.append(report)
        path = args.dist / f"{name}.lazy.json"
        cache.write_text(path, report.model_dump_json(indent=1) + "\n")
        if not args.json:
            _show(report)
    if args.json:
        console.emit_json([report.model_dump(mode="json") for report in reports])
    if errors:
        raise ManyErrors(errors)
    return 0


def _names(asked: Sequence[str], loaded: LoadedConfig) -> list[str]:
    known = loaded.config.functions
    for name in asked:
        if name not in known:
            raise ConfigError(
                f"{loaded.path.name} has no function {name!r}",
                hint=f"known: {', '.join(known) or 'none'}",
            )
    whole = [name for name, one in known.items() if one.code and one.event]
    if not asked and not whole:
        raise ConfigError(
            f"{loaded.path.name} has no function with `code` and `event`",
            hint="name the folder of its code, and a JSON file with a sample event",
        )
    return list(asked or whole)


def _function(
    name: str, loaded: LoadedConfig, targets: Sequence[Target], args: argparse.Namespace
) -> tuple[Target, LazyFunction]:
    """Return a function for the first runtime that it is built for, and a target of that."""
    from layersmith.assemble import outputs  # noqa: PLC0415 -- start-up time
    from layersmith.prove.cold import lazy  # noqa: PLC0415 -- start-up time
    from layersmith.prove.smoke import functions  # noqa: PLC0415 -- start-up time

    settings = loaded.config.functions[name]
    if settings.code is None:
        raise ConfigError("it has no `code`, whose imports could wait")
    for target in targets:
        if target.function is not None and target.layer == name:
            [package] = outputs.built([target], args.dist)
            below = outputs.built(target.beside, args.dist)
            return target, lazy.LazyFunction(name, settings, loaded, below, package)
        if settings.package or target.layer not in settings.layers:
            continue
        layers = functions.layers_of(
            settings, loaded, args.dist, target.runtime, target.architecture
        )
        if layers is not None:
            return target, lazy.LazyFunction(name, settings, loaded, layers)
    raise ConfigError(
        "none of the chosen targets has all its layers for one runtime",
        hint="leave --runtime and --arch out, or name a runtime of all its layers",
    )


def _show(report: LazyReport) -> None:
    where = "emulated: only ratios mean anything" if report.emulated else report.runner.described
    total = report.unchanged.total
    console.emit_text(
        f"{report.function}: {total.median:,.0f} ms ({total.low:,.0f}-{total.high:,.0f}) from start"
        f" to first answer on {report.runtime}, {where}; {console.counted(report.starts, 'start')}"
    )
    headings = ("import", "", "saves, ms", "spread", f"{report.currency} a million", "ratio")
    cells = [_cells(one) for one in report.imports]
    for name, saved in (
        ("all that can wait, together", report.together),
        ("the interpreter's own lazy imports", report.interpreter),
    ):
        if saved:
            cells.append((name, "", *_numbers(saved)))
    right = headings[2:]
    console.stdout().print(console.table(headings, cells, right=right, drop=("ratio", "spread")))
    for note in report.notes:
        console.info(note)


def _cells(one: LazyImport) -> tuple[str, ...]:
    state = WORDS[one.state] + (f": {one.why}" if one.why else "")
    numbers = _numbers(one.saved) if one.saved else ("", "", "", "")
    return (f"{one.file}:{one.line}: {one.statement}", state, *numbers)


def _numbers(saved: Saved) -> tuple[str, str, str, str]:
    ms, million = saved.ms, saved.million
    return (
        f"{ms.median:,.1f}",
        f"{ms.low:,.1f} to {ms.high:,.1f}",
        "" if million is None else f"{million:,.2f}",
        f"{saved.ratio.total.median:.2f}",
    )

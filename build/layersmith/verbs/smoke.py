"""`smoke`: start built layers in the Lambda runtime and prove that they work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith import console
from layersmith.errors import ManyErrors
from layersmith.report import tables
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from layersmith.config.loader import LoadedConfig
    from layersmith.plan import Target
    from layersmith.prove.models import FunctionProof, SmokeReport
    from layersmith.prove.smoke.run import SmokeOutcome

EPILOG = """\
what it does to a target:
  start its zip from dist/ in the runtime it was built for, with AWS's own runtime client; import
  every top-level module and then every other one. A module that needs what the layer does not ask
  for, or is made for another system, is optional (-v lists them with the reason); what else cannot
  import by design is listed under `import-exceptions`. Check `forbid-imports`; run the layer's
  `smoke` file under pytest.
  Unless layers are named, functions of layers.yaml that have a sample event are started, too.
  The result of each target is written to dist/<stem>.smoke.json.

runners:
  docker  the ARM64 runtime, natively or emulated: the proof
  host    without Docker: a twin of the layer for this machine's architecture; says less

examples:
  python build/layers.py smoke                            every target
  python build/layers.py smoke chromadb-vector --runtime python3.13
  python build/layers.py smoke --runner host --runtime python3.12
  python build/layers.py smoke --accept --dry-run         what is left, as a change to layers.yaml
  python build/layers.py smoke --json
  python build/layers.py smoke imaging --image public.ecr.aws/lambda/python:3.13-arm64
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    options.add_filters(parser)
    options.add_dist(parser)
    options.add_runner(parser)
    parser.add_argument(
        "--accept",
        action="store_true",
        help="write modules that do not import into layers.yaml as import-exceptions, with the"
        " reason found",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="with --accept: only print what would be written"
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        ManyErrors: Targets or functions are not proven; the others were tried.
        ConfigError: --accept: layers.yaml is written in a way that cannot be edited.
    """
    from layersmith.prove.smoke.run import SmokeRun  # noqa: PLC0415 -- start-up time

    loaded, targets = options.chosen(args, packages=True)
    outcome = SmokeRun(loaded, args.dist, kind=args.runner, image=args.image).run(
        targets, with_functions=not args.layer
    )
    tables.step_summary(_markdown(outcome))
    if args.json:
        console.emit_json(
            {
                "layers": [one.model_dump(mode="json") for one in outcome.reports],
                "functions": [one.model_dump(mode="json") for one in outcome.functions],
            }
        )
    else:
        _show(outcome)
    if args.accept:
        _accept(loaded, targets, outcome, dry_run=args.dry_run)
    if outcome.errors:
        raise ManyErrors(outcome.errors)
    return 0


def _accept(
    loaded: LoadedConfig, targets: Sequence[Target], outcome: SmokeOutcome, *, dry_run: bool
) -> None:
    """Write what is left into layers.yaml, and take the errors away that it settles."""
    from layersmith.prove.smoke import run as proofs  # noqa: PLC0415 -- start-up time

    layers = {target.identifier: target.layer for target in targets}
    wanted = proofs.to_accept(outcome.reports, layers)
    if not wanted:
        console.info("nothing to accept: every module that the layers need imports")
        return
    text = proofs.with_exceptions(loaded, wanted)
    console.info(proofs.difference(loaded, text))
    if dry_run:
        return
    proofs.write_config(loaded, text)
    number = sum(map(len, wanted.values()))
    console.success(f"{loaded.path.name}: {number} import-exceptions added; check the reasons")
    settled = {one.identifier for one in outcome.reports if proofs.only_imports(one)}
    outcome.errors = [one for one in outcome.errors if one.target not in settled]


def _show(outcome: SmokeOutcome) -> None:
    for report in outcome.reports:
        verdict, *rest = _found(report)
        console.emit_text(f"{report.identifier}: {verdict}: {', '.join(rest)}")
        if console.is_verbose():
            for module, why in report.imports.optional.items():
                console.info(f"{report.identifier}: optional: {module} {why}")
    for proof in outcome.functions:
        console.emit_text(f"{_name(proof)}: {', '.join(_answer(proof))}")


def _markdown(outcome: SmokeOutcome) -> str:
    """Return what was found for the step summary, and in which images."""
    lines = ["### Layers started", "", "| target | verdict | modules | tests | time |"]
    lines += ["|---|---|---|---|--:|"]
    for report in outcome.reports:
        verdict, *rest = _found(report)
        cells = (f"`{report.identifier}`", f"{'✅' if report.ok else '❌'} {verdict}", *rest)
        lines.append(f"| {' | '.join(cells)} |")
    for proof in outcome.functions:
        state, init, event = _answer(proof)
        mark = "❌" if proof.error else "✅"
        lines.append(f"| {_name(proof)} | {mark} {state} | {init} | {event} | |")
    runners = {(one.runner.runtime, one.runner.image) for one in outcome.reports}
    images = sorted((name, image) for name, image in runners if image)
    lines += [f"\nProven for {runtime} in {image}." for runtime, image in images]
    if outcome.errors:
        lines += ["", tables.fenced("\n".join(str(one) for one in outcome.errors))]
    return "\n".join([*lines, tables.run_link()])


def _found(report: SmokeReport) -> tuple[str, str, str, str]:
    """Return verdict, modules, tests and time of a target in words."""
    tests = report.smoke.tests if report.smoke else []
    passed = sum(test.outcome == "passed" for test in tests)
    imports = report.imports
    broken = sum(1 + len(failed.hidden) for failed in imports.failed)
    spare = len(imports.optional)
    fine = imports.modules - broken - len(imports.excepted) - spare
    where = "its host twin" if report.runner.twin else report.runner.kind.capitalize()
    aside = f"({spare} optional, {len(imports.excepted)} excepted)"
    return (
        f"{'proven' if report.ok else 'NOT PROVEN'} by {where}",
        f"{fine} of {imports.modules} modules import {aside}",
        f"{passed} of {len(tests)} tests pass",
        f"{report.seconds:.1f} s",
    )


def _name(proof: FunctionProof) -> str:
    return f"function {proof.function}{f' from {proof.package}' if proof.package else ''}"


def _answer(proof: FunctionProof) -> tuple[str, str, str]:
    """Return the state of a function and its times in words."""
    good = "starts" if proof.duration_ms is None else "answers"
    event = "no event" if proof.duration_ms is None else f"event {proof.duration_ms:.0f} ms"
    return "FAILED" if proof.error else good, f"init {proof.init_ms:.0f} ms", event

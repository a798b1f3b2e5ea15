"""``deploy``: creates and updates the CloudFormation stacks of a stage."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.config import loader
from layersmith.errors import ConfigError, ShipError
from layersmith.plan import Target, plan
from layersmith.stacks import assets, deploy, operations, templates
from layersmith.stacks.operations import Stacks
from layersmith.verbs import destroy as destroy_verb
from layersmith.verbs import options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from layersmith.config.loader import LoadedConfig
    from layersmith.stacks.deploy import StackOutcome
    from layersmith.stacks.operations import Drift, Proposal, ResourceChange
    from layersmith.stacks.stage import Stage
    from layersmith.stacks.templates import Template

EPILOG = """\
Every stack is brought to its template by a change set, which is shown before it is applied. The
order follows from the exports and imports in the templates. Run it again after a failure or a
kill: completed steps are not repeated. Exit code 9: CloudFormation refused, a resource failed (the
first one is named), or, with --drift, something differs, is missing or could not be looked at.

--bootstrap, as an administrator, brings up what everything else needs and what gives rights: the
artifact bucket, the boundary of the stage's roles, GitHub's roles. A run with
--cloudformation-role leaves these stacks alone and says if one differs from its template.

Where layers.yaml has `attestations`, the zips in dist/ of the layers that templates use are
verified before AWS is asked anything: `publish fetch` brings them.

examples:
  python build/layers.py deploy --stage dev --bootstrap --plan
  python build/layers.py deploy --stage dev --bootstrap
  python build/layers.py deploy --stage dev --plan
  python build/layers.py deploy --stage dev --set chroma.ImageUri=$IMAGE --yes
  python build/layers.py deploy --stage dev --only artifacts --yes
  python build/layers.py deploy --stage dev --drift
  python build/layers.py deploy --stage dev --destroy
"""

_STYLES = {"Add": "green", "Modify": "yellow", "Remove": "red"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = EPILOG
    options.add_stage(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--plan", action="store_true", help="show what would change, change nothing")
    what.add_argument("--drift", action="store_true", help="show what differs from the templates")
    what.add_argument("--destroy", action="store_true", help="remove the stacks, as `destroy` does")
    parser.add_argument(
        "--bootstrap", action="store_true", help="only what an administrator deploys, first of all"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="STACK", help="this stack (repeatable)"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before applying")
    parser.add_argument(
        "--delete-data", action="store_true", help="with --destroy: also what holds data"
    )
    parser.add_argument(
        "--lambdas", type=Path, default=options.LAMBDAS, help="folder of the functions"
    )
    options.add_config(parser)
    options.add_dist(parser)
    parser.add_argument("--cloudformation-role", metavar="ARN", help="role of the stacks' changes")
    options.add_account(parser)


def run(args: argparse.Namespace) -> int:
    """Deploy, plan, look for drift, or destroy.

    Raises:
        ConfigError: Options exclude each other, or the stage is wrong.
    """
    if args.bootstrap and (args.drift or args.destroy):
        raise ConfigError(
            f"--bootstrap and --{'drift' if args.drift else 'destroy'} exclude each other",
            hint="--bootstrap goes with --plan, --only and --set",
        )
    if args.destroy:
        return destroy_verb.run(args)
    options.refuse({"--delete-data": args.delete_data}, "without --destroy", "pass --destroy, too")
    if args.drift:
        return _drift(args)
    if args.bootstrap and args.cloudformation_role:
        raise ConfigError(
            "--bootstrap and --cloudformation-role exclude each other",
            cause="the role that --bootstrap makes may not change itself",
            hint="run --bootstrap with an administrator's credentials",
        )
    stage, chosen = options.stage_templates(args)
    loaded = loader.load(args.config) if args.config.is_file() else None
    if loaded:
        _require_attested(args, loaded, stage, chosen)
    signing = loaded.config.signing if loaded else None
    deployment = deploy.Deployment(
        aws=options.aws(args),
        stage=stage,
        templates=chosen,
        assets=assets.collect(args.lambdas, args.templates / "state-machines"),
        show=_show_proposal,
        accept=_accept(args),
        role_arn=args.cloudformation_role,
        bootstrap=args.bootstrap,
        only=frozenset(args.only),
        plan_only=args.plan,
        signing=signing.profile if signing else None,
        say=console.warn,
    )
    outcomes = deployment.run()
    _print(args, outcomes)
    return 0


def _require_attested(
    args: argparse.Namespace, loaded: LoadedConfig, stage: Stage, chosen: list[Template]
) -> None:
    """Refuse layers that templates name and whose zips in dist/ have not the right attestation.

    Raises:
        ShipError: A template names another version than layers.yaml has.
        ManyErrors: Zips are not in dist/, have no attestation, or a wrong one.
    """
    if loaded.config.attestations is None:
        return
    targets, used = plan(loaded.config), list[Target]()
    for layer, runtime, architecture, version in templates.layers(stage, chosen):
        for target in targets:
            if (layer, runtime, architecture) != (
                target.layer,
                target.runtime.name,
                target.architecture,
            ):
                continue
            if version not in ("latest", target.version):
                raise ShipError(
                    f"the stage uses {layer} {version}; layers.yaml has {target.version}",
                    cause="only the attestation of the version in layers.yaml can be verified",
                    hint="deploy from the tag of that version",
                )
            used.append(target)
    options.require_attested(loaded, used, args.dist)


def _accept(args: argparse.Namespace) -> Callable[[Proposal], bool]:
    if args.plan or args.yes:
        return lambda _: True
    console.require_terminal()
    return lambda proposal: console.confirm(f"apply to {proposal.stack}? [y/N] ")


def _print(args: argparse.Namespace, outcomes: list[StackOutcome]) -> None:
    if args.json:
        console.emit_json([dataclasses.asdict(one) for one in outcomes])
        return
    _show_outcomes(outcomes)
    if left := [one.stack for one in outcomes if one.result == "left"]:
        console.warn(
            f"{', '.join(left)}: the deployed template differs; run `deploy --bootstrap` as an "
            "administrator"
        )
    if outcomes and outcomes[-1].result == "proposed":
        console.info("stopped there: later stacks import from it")


def _drift(args: argparse.Namespace) -> int:
    stage, chosen = options.stage_templates(args)
    stacks = Stacks(options.aws(args).client("cloudformation", stage.region))
    found = operations.drifts_of_stage(stacks, stage, templates.order(chosen))
    if args.json:
        console.emit_json(
            {name: [dataclasses.asdict(o) for o in all_] for name, all_ in found.items()}
        )
    else:
        _show_drifts(found)
    if not any(found.values()):
        console.success(f"{len(found)} stacks match their templates")
        return 0
    return ShipError.exit_code


def _show_proposal(name: str, proposed: Proposal) -> None:
    """Show what a change set would do."""
    if proposed.empty:
        console.info(f"{name}: nothing to change")
        return
    title = f"{name}: {'new stack' if proposed.creates else 'changes'} {proposed.stack}"
    rows = [
        (
            change.action,
            change.logical_id,
            change.type,
            "" if change.replacement in {"", "False"} else change.replacement.lower(),
        )
        for change in proposed.changes
    ]
    styles = [_style(change) for change in proposed.changes]
    headings = ("action", "resource", "type", "replaced")
    out = console.stderr()
    out.print(console.table(headings, rows, styles=styles, title=title, width=out.width))
    if proposed.remains:
        console.warn(f"{name} is {proposed.remains}: deploy deletes what is left of it first")
    lost = [change.logical_id for change in proposed.changes if change.loses]
    if lost:
        console.warn(f"{name} removes or replaces {', '.join(lost)}")


def _show_outcomes(done: Sequence[StackOutcome]) -> None:
    """Show what became of each stack, and its outputs."""
    table = []
    for outcome in done:
        rows = sorted(outcome.outputs.items()) or [("", "")]
        for number, (key, value) in enumerate(rows):
            first = number == 0
            table.append(
                (outcome.stack if first else "", outcome.result if first else "", key, value)
            )
    console.stdout().print(console.table(("stack", "result", "output", "value"), table))


def _show_drifts(found: Mapping[str, Sequence[Drift]]) -> None:
    """Show what differs from the templates."""
    rows = [
        (stack, one.logical_id, one.type, one.status, ", ".join(one.properties))
        for stack, listed in found.items()
        for one in listed
    ]
    headings = ("stack", "resource", "type", "state", "differs in")
    console.stdout().print(console.table(headings, rows))


def _style(change: ResourceChange) -> str:
    return "red" if change.loses else _STYLES.get(change.action.partition(" ")[0], "default")

"""The options that the verbs over stacks share, and what they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from layersmith.ship.aws.clients import Aws
from layersmith.stacks import stage as stages
from layersmith.stacks import templates

if TYPE_CHECKING:
    import argparse

    from layersmith.stacks.stage import Stage
    from layersmith.stacks.templates import Template

TEMPLATES = Path("infra-templates")
LAMBDAS = Path("lambdas")


def add_stage(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a stage."""
    parser.add_argument("--stage", required=True, help="name of a file in infra-templates/stages")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="STACK.PARAMETER=VALUE",
        help="a parameter, over what the stage's file says (repeatable)",
    )
    parser.add_argument(
        "--templates", type=Path, default=TEMPLATES, help=f"their folder ({TEMPLATES})"
    )


def add_account(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how AWS is reached."""
    group = parser.add_argument_group("AWS")
    group.add_argument("--region", help="in place of the stage's")
    group.add_argument("--endpoint-url", help="in place of AWS_ENDPOINT_URL, such as moto's server")
    group.add_argument("--role", metavar="ARN", help="role to assume")
    group.add_argument("--profile", metavar="NAME", help="profile of the AWS configuration")


def stage_of(args: argparse.Namespace) -> tuple[Stage, list[Template]]:
    """Return the chosen stage and its templates.

    Raises:
        ConfigError: The stage's file or a template is wrong, or they do not fit.
    """
    stage = stages.load(args.templates / "stages", args.stage, args.set)
    if args.region:
        stage = stage.model_copy(update={"region": args.region})
    return stage, stages.select(stage, templates.load(args.templates))


def aws_of(args: argparse.Namespace) -> Aws:
    """Return the clients that the options describe."""
    return Aws(endpoint_url=args.endpoint_url, role_arn=args.role, profile=args.profile)

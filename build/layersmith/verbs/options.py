"""What the verbs that work on targets have in common: which file, which targets, which folder.

What ships is imported where it is used, so that a build never waits for boto3.
"""

from __future__ import annotations

import dataclasses
from argparse import ArgumentTypeError
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from layersmith import console, repeats
from layersmith.base import runtimes
from layersmith.config import loader
from layersmith.errors import ConfigError, ShipError, UsageError
from layersmith.plan import Target, plan
from layersmith.recipes.book import RecipeBook

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from layersmith.config.loader import LoadedConfig
    from layersmith.ship.aws.accounts import AccountAccess, Aws
    from layersmith.ship.publish.site import Reach, RegionChoice, ShippingJob, Site
    from layersmith.stacks.stage import Stage
    from layersmith.stacks.templates import Template

TEMPLATES = Path("infra-templates")
LAMBDAS = Path("lambdas")
STACK = "layersmith"


FILES = (".txt", ".in", ".toml", ".lock")
"""Ends of the names of files that ask for requirements; a distribution could be called so."""


def refuse_file(word: str, hint: str) -> None:
    """Refuse the name of a file among requirements that somebody typed.

    Args:
        word: A requirement.
        hint: What to do with a file.

    Raises:
        ConfigError: It is one; who registers that name in an index would have it installed.
    """
    if word.endswith(FILES):
        what = "a file" if Path(word).is_file() else "the name of a file that does not exist"
        raise ConfigError(f"{word} is {what}, and not a requirement", hint=hint)


def at_least(least: int) -> Callable[[str], int]:
    """Return what reads an option that is a whole number of ``least`` or more."""

    def read(text: str) -> int:
        number = int(text) if text.removeprefix("-").isdecimal() else least - 1
        if number < least:
            raise ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return number

    return read


def refuse(given: Mapping[str, object], where: str, hint: str) -> None:
    """Refuse options that would change nothing.

    Args:
        given: Name of an option -> its value.
        where: Where they mean nothing.
        hint: What to do.

    Raises:
        UsageError: One was given.
    """
    if names := [name for name, value in given.items() if value not in (None, False, [])]:
        raise UsageError(f"{' and '.join(names)} would change nothing {where}", hint=hint)


def settle(args: argparse.Namespace) -> None:
    """Fill in what --config and --dist are where they were not given.

    That is the nearest layers.yaml, in the working directory or above it, and dist/ beside the
    configuration. What was given is relative to the working directory.
    """
    config = getattr(args, "config", None) or nearest_config()
    if hasattr(args, "config"):
        args.config = config
    if hasattr(args, "dist") and args.dist is None:
        args.dist = (config if config.is_dir() else config.parent) / "dist"


def nearest_config() -> Path:
    """Return the nearest layers.yaml; the working directory's where there is none at all."""
    here = Path(loader.FILE_NAME)
    for path in (here, *(folder / here for folder in Path.cwd().parents)):
        repeats.saw(path)
        if path.is_file():
            return path
    return here


def place(loaded: LoadedConfig, target: Target, key: str) -> tuple[Path, int, int]:
    """Return where a key of a target, ``licenses.deny``, stands in layers.yaml.

    A setting that a layer has from ``defaults`` or a fragment stands there, and one that is another
    on the target's architecture below that.
    """
    layer = ("functions" if target.function else "layers", target.layer)
    first, *rest = key.split(".")
    here = loaded.position(*layer, first, target.architecture, *rest)
    if here == loaded.position(*layer, first, target.architecture):
        here = loaded.position(*layer, first, *rest)
    return loaded.path, here.line, here.column


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the configuration."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the configuration (default: the nearest layers.yaml, here or above)",
    )


def add_filters(parser: argparse.ArgumentParser, *, positional: bool = True) -> None:
    """Add the options that choose the configuration and the targets.

    Args:
        parser: The verb's parser.
        positional: Take names of layers without an option, too.
    """
    if positional:
        parser.add_argument(
            "layer",
            nargs="*",
            action="extend",
            default=[],
            metavar="LAYER",
            help="only these layers (default: all)",
        )
    add_layer_filters(parser)
    parser.add_argument(
        "--layer", action="append", default=[], metavar="NAME", help="only this layer; repeatable"
    )


def add_layer_filters(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the configuration, runtimes and architectures."""
    add_config(parser)
    parser.add_argument(
        "--runtime",
        action="append",
        default=[],
        metavar="RUNTIME",
        help="only this runtime, e.g. python3.13; repeatable",
    )
    parser.add_argument(
        "--arch",
        action="append",
        default=[],
        metavar="ARCH",
        help="only this architecture, arm64 or x86_64; repeatable",
    )


def add_dist(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the folder of the artifacts."""
    parser.add_argument(
        "--dist",
        type=Path,
        metavar="DIR",
        help="folder of the artifacts (default: dist beside layers.yaml)",
    )


def add_runner(
    parser: argparse.ArgumentParser, *, default: Literal["docker", "host"] = "docker", why: str = ""
) -> None:
    """Add the options that choose where layers are started.

    Args:
        parser: Of the verb.
        default: The runner.
        why: What `--help` says of it.
    """
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--runner",
        choices=("docker", "host"),
        default=default,
        help=f"default: {default}{why and f', {why}'}",
    )
    which.add_argument(
        "--docker", dest="runner", action="store_const", const="docker", help="--runner docker"
    )
    parser.add_argument(
        "--image", metavar="NAME", help="image to use as the runtime (LAYERSMITH_IMAGE)"
    )


def add_starts(
    parser: argparse.ArgumentParser, default: int | None, usual: str = "", *, least: int = 1
) -> None:
    """Add the option that says how often each variant is started.

    Args:
        parser: Of the verb.
        default: The number; None where the verb settles it.
        usual: What `--help` says of it; by default the number.
        least: The smallest number that is accepted.
    """
    parser.add_argument(
        "--starts",
        type=at_least(least),
        default=default,
        metavar="N",
        help=f"number of fresh processes per variant ({usual or default})",
    )


def warn_of_deprecated(names: Iterable[str]) -> None:
    """Warn on stderr of each deprecated runtime among ``names``, once, with its dates."""
    for notice in runtimes.notices(names):
        console.warn(notice)


def chosen(
    args: argparse.Namespace, *, packages: bool = False
) -> tuple[LoadedConfig, list[Target]]:
    """Load the configuration and return it with the targets that the options choose.

    Recipes have changed their settings already, as far as the targets are locked.

    Args:
        args: The options.
        packages: Whether the packages of functions are targets, too.

    Raises:
        ConfigError: The configuration or a recipe is not valid, or an option or `recipes` names
            what does not exist.
    """
    from layersmith import lock  # noqa: PLC0415 -- start-up time

    loaded = loader.load(args.config)
    book = recipe_book(loaded)
    targets = plan(
        loaded.config,
        layers=args.layer,
        only_runtimes=args.runtime,
        architectures=args.arch,
        book=book,
        packages=packages,
    )
    return loaded, [lock.with_recipes(target, loaded.root) for target in targets]


def recipe_book(loaded: LoadedConfig) -> RecipeBook:
    """Return the recipes that there are for a configuration, and say which ones a team replaces.

    Raises:
        ConfigError: `recipes` names a distribution without a recipe.
    """
    own = loaded.config.recipe_folder
    book = RecipeBook(loaded.root / own if own else None)
    book.check_names(loaded)
    if replaced := book.overridden():
        console.info(f"{own} replaces the recipes of {', '.join(replaced)}")
    return book


def add_regions(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose regions."""
    from layersmith.ship.aws import regions  # noqa: PLC0415 -- boto3's start-up time

    parser.add_argument(
        "--region",
        action="append",
        default=[],
        help="regions to use instead of those in layers.yaml: a name, a partition, or `all` "
        "(repeatable)",
    )
    parser.add_argument(
        "--partition", choices=regions.PARTITIONS, help="only the regions of this partition"
    )


def add_accounts(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how the accounts of all partitions are reached."""
    from layersmith.ship.aws import accounts  # noqa: PLC0415 -- boto3's start-up time

    group = parser.add_argument_group("AWS")
    _add_endpoint(group)
    group.add_argument(
        "--role",
        action="append",
        default=[],
        metavar="[PARTITION=]ARN",
        help="role to assume, one per partition (aws, aws-cn, aws-us-gov)",
    )
    group.add_argument(
        "--profile",
        action="append",
        default=[],
        metavar="[PARTITION=]NAME",
        help="profile of the AWS configuration, one per partition",
    )
    group.add_argument("--stack", default=STACK, help=f"name of the installation ({STACK})")
    group.add_argument(
        "--concurrency",
        type=at_least(1),
        default=accounts.CONCURRENCY,
        help=f"regions worked on at once ({accounts.CONCURRENCY})",
    )
    group.add_argument(
        "--max-attempts",
        type=at_least(1),
        default=accounts.MAX_ATTEMPTS,
        help=f"attempts per AWS call before the region is skipped ({accounts.MAX_ATTEMPTS})",
    )


def _add_endpoint(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--endpoint-url",
        help="AWS endpoint to use, e.g. a moto server (overrides AWS_ENDPOINT_URL)",
    )


def add_artifacts(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose built zips, and where they are published."""
    add_filters(parser)
    add_dist(parser)
    parser.add_argument(
        "--built", action="store_true", help="only targets whose zip is in the folder"
    )
    add_regions(parser)
    add_accounts(parser)


def add_publishing(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run that publishes."""
    from layersmith.ship.publish import canary  # noqa: PLC0415 -- boto3's start-up time

    parser.add_argument("--canary-role", default=canary.ROLE, help=f"its name ({canary.ROLE})")
    parser.add_argument(
        "--lock-wait", type=float, default=960.0, help="seconds to wait for another run (960)"
    )
    parser.add_argument(
        "--direct-limit",
        type=at_least(0),
        help="bytes above which a zip goes through S3 (AWS's limit)",
    )


def region_choice(args: argparse.Namespace) -> RegionChoice:
    """Return which regions the options choose."""
    from layersmith.ship.publish.site import RegionChoice  # noqa: PLC0415 -- boto3's start-up time

    return RegionChoice(args.region, args.partition, getattr(args, "pilot", False))


def access(args: argparse.Namespace) -> AccountAccess:
    """Return how the options say that the accounts are reached.

    Raises:
        ConfigError: An option names an unknown partition.
    """
    from layersmith.ship.aws import accounts  # noqa: PLC0415 -- boto3's start-up time

    return accounts.AccountAccess(
        endpoint_url=args.endpoint_url,
        roles=accounts.by_partition(args.role),
        profiles=accounts.by_partition(args.profile),
        max_attempts=args.max_attempts,
        concurrency=args.concurrency,
    )


def site(
    args: argparse.Namespace,
    loaded: LoadedConfig,
    names: Sequence[str],
    through: AccountAccess | None = None,
) -> Site:
    """Return the site for regions; one call a partition proves the credentials.

    Raises:
        AwsFailure: The credentials of a partition are missing or expired.
        ShipError: An account is not one that layers.yaml allows.
    """
    from layersmith.ship.aws import accounts  # noqa: PLC0415 -- boto3's start-up time
    from layersmith.ship.publish import canary  # noqa: PLC0415 -- boto3's start-up time
    from layersmith.ship.publish import site as sites  # noqa: PLC0415 -- boto3's start-up time

    home = sites.home_region(loaded, names)
    made = sites.Site(
        (through or access(args)).clients(list(dict.fromkeys([*names, home]))),
        home=home,
        stack=args.stack,
        workers=args.concurrency,
        canary_role=getattr(args, "canary_role", canary.ROLE),
        lock_wait=getattr(args, "lock_wait", 0.0),
        direct_limit=getattr(args, "direct_limit", None),
    )
    accounts.refuse_others(made.accounts, loaded.config.accounts)
    return made


REACHED = "only what layers.yaml has was reached"
"""Said where the index, which has the rest, cannot be read."""


def reach(args: argparse.Namespace, instead: str = "pass --region, or ") -> Reach:
    """Return what a verb works on that reaches all that was ever published.

    Args:
        args: The options.
        instead: What else than layers.yaml could name a region; see `RegionChoice.by_region`.

    Raises:
        ConfigError: layers.yaml is not valid, or the options choose nothing.
        AwsFailure: The credentials are missing or expired.
        ShipError: An account is not one that layers.yaml allows.
    """
    from layersmith.ship import arns  # noqa: PLC0415 -- see job
    from layersmith.ship.aws.failures import OF_THE_RUN, AwsFailure  # noqa: PLC0415 -- see job
    from layersmith.ship.publish import site as sites  # noqa: PLC0415 -- see job
    from layersmith.ship.publish.models import Quarantined  # noqa: PLC0415 -- see job

    loaded, choice, through = loader.load(args.config), region_choice(args), access(args)
    targets = plan(loaded.config)
    made = site(args, loaded, list(choice.by_region(targets, instead)), through)
    index, unread = arns.Index(), []
    try:
        index = arns.published(made)
    except AwsFailure as failure:
        if failure.kind in OF_THE_RUN:
            raise
        unread = [Quarantined(made.home, f"the index: {failure.line}", f"{REACHED}; run it again")]
    except ShipError as damaged:
        hint = f"{REACHED}; {damaged.hint}"
        unread = [Quarantined(made.home, f"the index: {damaged.message}", hint)]
    filters = sites.Filters(args.layer, args.runtime, args.arch)
    where, wanted = sites.spots(loaded.config, index, filters, choice)
    versions = {target.place: target.version for target in targets}
    names = list(dict.fromkeys([*where, made.home]))
    full = dataclasses.replace(site(args, loaded, names, through), home=made.home)
    return sites.Reach(full, where, versions, wanted, unread)


def is_outside(args: argparse.Namespace) -> bool:
    """Whether targets were chosen, and --partition leaves none of them a region.

    Raises:
        ConfigError: layers.yaml is not valid, or an option names what does not exist.
    """
    choice = region_choice(args)
    return bool(args.partition) and not any(choice.of(target) for target in chosen(args)[1])


def require_attested(loaded: LoadedConfig, targets: Sequence[Target], dist: Path) -> None:
    """Refuse zips without the attestation that layers.yaml asks for; nothing asks AWS yet.

    Raises:
        ManyErrors: Zips have none, or a wrong one; all are named.
        NotInstalledError: The library that verifies them is not installed.
    """
    if loaded.config.attestations is None:
        return
    from layersmith.ship.publish import attested  # noqa: PLC0415 -- start-up time

    attested.require(loaded.config.attestations, targets, dist, loaded.root)


def job(args: argparse.Namespace, *, attested: bool = False) -> ShippingJob:
    """Return what the options choose, the zips checked and the credentials proved.

    Args:
        args: The options.
        attested: Refuse zips without the attestation that layers.yaml asks for.

    Raises:
        ConfigError: layers.yaml is not valid, or nothing is left.
        ManyErrors: Zips are missing, damaged, or not attested.
        AwsFailure: The credentials are missing or expired.
    """
    from layersmith.ship.publish import desired, observed  # noqa: PLC0415 -- boto3's start-up time
    from layersmith.ship.publish.site import ShippingJob  # noqa: PLC0415 -- boto3's start-up time

    loaded, targets = chosen(args)
    choice = region_choice(args)
    where = {target.identifier: choice.of(target) for target in targets}
    if args.built:
        lacking = [one for one in targets if not (args.dist / f"{one.stem}.zip").is_file()]
        targets = [one for one in targets if one not in lacking]
        if lacking:
            said = ", ".join(f"{one.identifier} {one.version}" for one in lacking)
            console.info(f"left out, not in {args.dist}: {said}")
    if args.partition:
        targets = [target for target in targets if where[target.identifier]]
    found = desired.from_dist(targets, args.dist, loaded.root, where)
    if not found:
        raise ConfigError("no target matches the filters", hint="see --built and --partition")
    if attested:
        require_attested(loaded, targets, args.dist)
    beyond = {target.identifier: choice.counted(target) for target in targets}
    signing = loaded.config.signing.profile if loaded.config.signing else None
    if signing and (kept := next((one for one in found if one.reference), None)):
        raise ConfigError(
            "`signing` and `storage: reference` exclude each other",
            target=kept.identifier,
            hint="remove `storage: reference`: Lambda copies what AWS Signer wrote",
        )
    found = [
        dataclasses.replace(one, counted=beyond[one.identifier], signing=signing) for one in found
    ]
    names = list(observed.by_region(found, counted=True))
    return ShippingJob(found, site(args, loaded, names))


def add_stage(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a stage."""
    parser.add_argument("--stage", required=True, help="name of a file in infra-templates/stages")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="STACK.PARAMETER=VALUE",
        help="a parameter that overrides the stage's file (repeatable)",
    )
    add_templates(parser)


def add_templates(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the folder of the templates."""
    parser.add_argument(
        "--templates", type=Path, default=TEMPLATES, help=f"their folder ({TEMPLATES})"
    )


def add_account(parser: argparse.ArgumentParser, *, many: bool = False) -> None:
    """Add the options that say how the account of a stage is reached.

    Args:
        parser: The verb's parser.
        many: Whether it takes several regions.
    """
    group = parser.add_argument_group("AWS")
    if many:
        group.add_argument(
            "--region",
            action="append",
            default=[],
            help="regions to use instead of the stage's: a name, a partition, or `all` "
            "(repeatable)",
        )
    else:
        group.add_argument("--region", help="region to use instead of the stage's")
    _add_endpoint(group)
    group.add_argument("--role", metavar="ARN", help="role to assume")
    group.add_argument("--profile", metavar="NAME", help="profile of the AWS configuration")


def stage(args: argparse.Namespace) -> Stage:
    """Return the chosen stage.

    Raises:
        ConfigError: The stage's file is wrong.
    """
    from layersmith.stacks import stage as stages  # noqa: PLC0415 -- boto3's start-up time

    found = stages.load(args.templates / "stages", args.stage, getattr(args, "set", []))
    return found.model_copy(update={"region": args.region}) if args.region else found


def stage_templates(args: argparse.Namespace) -> tuple[Stage, list[Template]]:
    """Return the chosen stage and its templates.

    Raises:
        ConfigError: The stage's file or a template is wrong, or they do not fit.
    """
    from layersmith.stacks import stage as stages  # noqa: PLC0415 -- boto3's start-up time
    from layersmith.stacks import templates  # noqa: PLC0415 -- boto3's start-up time

    found = stage(args)
    return found, stages.select(found, templates.load(args.templates))


def aws(args: argparse.Namespace) -> Aws:
    """Return the clients that the options of a stage's account describe."""
    from layersmith.ship.aws.accounts import Aws  # noqa: PLC0415 -- boto3's start-up time

    return Aws(endpoint_url=args.endpoint_url, role_arn=args.role, profile=args.profile)

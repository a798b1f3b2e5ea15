"""The options that the shipping verbs share, and what they lead to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import plan as plans
from layersmith.config import loader
from layersmith.errors import ConfigError
from layersmith.ship.aws import clients, regions
from layersmith.ship.aws.clients import Aws
from layersmith.ship.aws.failures import OF_THE_RUN, AwsFailure
from layersmith.ship.publish import canary, desired, lease, observed
from layersmith.ship.publish.apply import Site

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from layersmith.config.loader import LoadedConfig
    from layersmith.plan import Target
    from layersmith.ship.publish.models import Desired

STACK = "layersmith"


@dataclass(frozen=True)
class ShippingJob:
    """What a shipping verb works on.

    Attributes:
        wanted: The artifacts.
        site: Where to publish.
        loaded: The configuration.
    """

    desired: list[Desired]
    site: Site
    loaded: LoadedConfig


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose targets and regions."""
    add_layers(parser)
    parser.add_argument("--dist", type=Path, help="folder of the built zips")
    parser.add_argument(
        "--built", action="store_true", help="only targets whose zip is in the folder"
    )
    add_config(parser)
    add_regions(parser)


def add_layers(parser: argparse.ArgumentParser) -> None:
    """Add the two ways to choose layers: by name alone, and by option."""
    parser.add_argument(
        "layer", nargs="*", action="extend", default=[], metavar="LAYER", help="only these layers"
    )
    parser.add_argument("--layer", action="append", default=[], help="only this layer (repeatable)")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the options that name layers.yaml and choose runtimes and architectures."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="layers.yaml (default: the nearest)"
    )
    parser.add_argument("--runtime", action="append", default=[], help="only this runtime")
    parser.add_argument(
        "--arch",
        dest="architecture",
        metavar="ARCH",
        action="append",
        default=[],
        help="only arm64 or x86_64",
    )


def add_regions(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses regions."""
    parser.add_argument(
        "--region",
        action="append",
        default=[],
        help="in place of layers.yaml's: a region, a partition, or `all` (repeatable)",
    )
    parser.add_argument(
        "--partition", choices=regions.PARTITIONS, help="only the regions of this partition"
    )


def add_account(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how AWS is reached."""
    group = parser.add_argument_group("AWS")
    group.add_argument("--endpoint-url", help="in place of AWS_ENDPOINT_URL, such as moto's server")
    group.add_argument(
        "--role",
        action="append",
        default=[],
        metavar="[PARTITION=]ARN",
        help="role to assume, one a partition (aws, aws-cn, aws-us-gov)",
    )
    group.add_argument(
        "--profile",
        action="append",
        default=[],
        metavar="[PARTITION=]NAME",
        help="profile of the AWS configuration, one a partition",
    )
    group.add_argument("--stack", default=STACK, help=f"name of the installation ({STACK})")
    group.add_argument(
        "--concurrency",
        type=int,
        default=clients.CONCURRENCY,
        help=f"regions worked on at once ({clients.CONCURRENCY})",
    )
    group.add_argument(
        "--max-attempts",
        type=int,
        default=clients.MAX_ATTEMPTS,
        help=f"tries of one call before its region is left out ({clients.MAX_ATTEMPTS})",
    )


def add_publishing(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run that publishes."""
    parser.add_argument("--canary-role", default=canary.ROLE, help=f"its name ({canary.ROLE})")
    parser.add_argument(
        "--lock-wait", type=float, default=960.0, help="seconds to wait for another run (960)"
    )
    parser.add_argument(
        "--direct-limit", type=int, help="bytes above which a zip goes through S3 (AWS's limit)"
    )


def targets(args: argparse.Namespace) -> tuple[LoadedConfig, list[Target]]:
    """Return the configuration and the chosen targets.

    Raises:
        ConfigError: layers.yaml is not valid, or nothing is left.
    """
    loaded = loader.load(args.config)
    chosen = plans.plan(
        loaded.config,
        layers=args.layer,
        only_runtimes=args.runtime,
        architectures=args.architecture,
    )
    return loaded, chosen


def chosen_regions(args: argparse.Namespace, target: Target) -> tuple[str, ...]:
    """Return where a target is published to, as the options choose; the first is the pilot.

    Raises:
        ConfigError: A region does not exist.
    """
    names = regions.expand(tuple(args.region or target.settings.regions))
    if args.partition is not None:
        names = tuple(name for name in names if regions.partition_of(name) == args.partition)
    return names[:1] if getattr(args, "pilot", False) else names


def by_region(args: argparse.Namespace, chosen: Sequence[Target]) -> dict[str, list[Target]]:
    """Return region -> its targets, regions in the order in which they are named.

    Raises:
        ConfigError: There is no region, or one does not exist.
    """
    found: dict[str, list[Target]] = {}
    for target in chosen:
        for region in chosen_regions(args, target):
            found.setdefault(region, []).append(target)
    if not found:
        raise ConfigError(
            "there is no region to look at",
            hint="give --region, or add `regions` to layers.yaml",
        )
    return found


def job(args: argparse.Namespace) -> ShippingJob:
    """Return what the options choose, the zips checked and the credentials proved.

    Raises:
        ConfigError: layers.yaml is not valid, or nothing is left.
        ManyErrors: Zips are missing or damaged.
        AwsFailure: The credentials are missing or expired.
    """
    loaded, chosen = targets(args)
    where = {target.identifier: chosen_regions(args, target) for target in chosen}
    if args.built:
        chosen = [one for one in chosen if (args.dist / f"{one.stem}.zip").is_file()]
    if args.partition:
        chosen = [target for target in chosen if where[target.identifier]]
    found = desired.from_dist(chosen, args.dist, loaded.root, where)
    if not found:
        raise ConfigError("no target is left", hint="see --built and --partition")
    site = make_site(args, loaded, list(observed.by_region(found)))
    return ShippingJob(found, site, loaded)


def make_site(args: argparse.Namespace, loaded: LoadedConfig, names: Sequence[str]) -> Site:
    """Return the site for regions; one call a partition proves the credentials.

    Raises:
        AwsFailure: The credentials of a partition are missing or expired.
    """
    home = home_region(loaded, names)
    return Site(
        accounts(args, list(dict.fromkeys([*names, home]))),
        home=home,
        stack=args.stack,
        workers=args.concurrency,
        canary_role=getattr(args, "canary_role", canary.ROLE),
        lock_wait=getattr(args, "lock_wait", 0.0),
        direct_limit=getattr(args, "direct_limit", None),
        owner=lease.Owner.current(),
    )


def home_region(loaded: LoadedConfig, names: Sequence[str]) -> str:
    """Return the region of the index: the first in layers.yaml that the run's accounts reach.

    It depends on no filter, so that a run for one layer writes where all others write.
    """
    reached = {regions.partition_of(name) for name in names}
    for layer in loaded.config.layers.values():
        for region in layer.regions:
            if regions.partition_of(region) in reached:
                return region
    return names[0]


def accounts(args: argparse.Namespace, names: Sequence[str]) -> Mapping[str, Aws]:
    """Return region -> clients, those of one partition shared.

    Raises:
        AwsFailure: The credentials of a partition are missing or expired.
    """
    roles, profiles = _by_partition(args.role), _by_partition(args.profile)
    made: dict[str, Aws] = {}
    for region in names:
        partition = regions.partition_of(region)
        if partition not in made:
            made[partition] = Aws(
                endpoint_url=args.endpoint_url,
                role_arn=roles.get(partition),
                profile=profiles.get(partition),
                max_attempts=args.max_attempts,
                concurrency=args.concurrency,
            )
            _prove(made[partition], [r for r in names if regions.partition_of(r) == partition])
    return {region: made[regions.partition_of(region)] for region in names}


def _prove(aws: Aws, names: Sequence[str]) -> None:
    """Ask one region after the other who we are, until one is up."""
    for count, region in enumerate(names, start=1):
        try:
            aws.account(region)
        except AwsFailure as failure:
            if failure.kind in OF_THE_RUN or count == len(names):
                raise
        else:
            return


def _by_partition(given: Sequence[str]) -> dict[str, str]:
    """Return partition -> value for ``[PARTITION=]VALUE``; without a partition it is aws."""
    found: dict[str, str] = {}
    for text in given:
        partition, sign, value = text.partition("=")
        if not sign:
            partition, value = "aws", text
        if partition not in regions.PARTITIONS:
            raise ConfigError(
                f"unknown partition {partition!r}", hint=f"known: {', '.join(regions.PARTITIONS)}"
            )
        found[partition] = value
    return found

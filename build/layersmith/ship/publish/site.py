"""Where a run publishes: the regions that are chosen, the accounts behind them, and the bounds.

``Reach`` is what a verb works on that goes beyond layers.yaml: everything that was ever published
there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from layersmith.errors import ConfigError
from layersmith.plan import plan
from layersmith.ship.aws import accounts, regions
from layersmith.ship.publish import canary, lease

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from layersmith.config.loader import LoadedConfig
    from layersmith.config.models import Config
    from layersmith.plan import Target
    from layersmith.ship.arns import Index
    from layersmith.ship.aws.accounts import Account, Aws
    from layersmith.ship.publish.models import Desired, Place, Quarantined


@dataclass(frozen=True)
class Site:
    """Where to publish, and within which bounds.

    Attributes:
        aws: Region -> the clients of the account it is published from.
        home: Region whose bucket holds the index and the history of costs.
        stack: Name of the installation, part of the artifact buckets' names.
        workers: Regions at once.
        canary_role: Name of the role of canary functions.
        lock_wait: Seconds to wait for another run in a region.
        direct_limit: Bytes above which a zip goes through the bucket; None is AWS's limit.
        owner: Who holds the locks.
    """

    aws: Mapping[str, Aws]
    home: str
    stack: str = "layersmith"
    workers: int = 16
    canary_role: str = canary.ROLE
    lock_wait: float = lease.LIFETIME + 60.0
    direct_limit: int | None = None
    owner: lease.Owner = field(default_factory=lease.Owner)

    @cached_property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts behind the regions, one a partition.

        Raises:
            AwsFailure: The credentials are missing or expired.
        """
        return accounts.identify(self.aws)

    @property
    def where(self) -> str:
        """The accounts for people: ``account 123456789012 (acme)``."""
        return accounts.spell(self.accounts)


@dataclass(frozen=True)
class RegionChoice:
    """Which of a target's regions a run works on.

    Attributes:
        names: Regions, partitions or ``all``; where empty, those of layers.yaml.
        partition: Only the regions of this partition; None for all.
        pilot: Only the first region that is left.
    """

    names: Sequence[str] = ()
    partition: str | None = None
    pilot: bool = False

    def of(self, target: Target) -> tuple[str, ...]:
        """Return where a target is published to; the first is the pilot.

        Raises:
            ConfigError: A region does not exist.
        """
        found = regions.expand(tuple(self.names or target.settings.regions))
        if self.partition is not None:
            found = tuple(name for name in found if regions.partition_of(name) == self.partition)
        return found[:1] if self.pilot else found

    def counted(self, target: Target) -> tuple[str, ...]:
        """Return the regions that are left out here, and whose numbers an aligned release keeps to.

        They are those of layers.yaml in the partitions of the run: others need other credentials.

        Raises:
            ConfigError: A region does not exist.
        """
        if not target.settings.align:
            return ()
        chosen = self.of(target)
        reached = {regions.partition_of(name) for name in chosen}
        return tuple(
            name
            for name in regions.expand(tuple(target.settings.regions))
            if name not in chosen and regions.partition_of(name) in reached
        )

    def takes(self, region: str) -> bool:
        """Whether a region passes, whatever layers.yaml says of it.

        Raises:
            ConfigError: A region does not exist.
        """
        if self.partition is not None and regions.partition_of(region) != self.partition:
            return False
        return not self.names or region in regions.expand(tuple(self.names))

    def by_region(
        self, targets: Sequence[Target], instead: str = "pass --region, or "
    ) -> dict[str, list[Target]]:
        """Return region -> its targets, regions in the order in which they are named.

        Args:
            targets: What is published.
            instead: How the hint begins: what else than layers.yaml could name a region.

        Raises:
            ConfigError: There is no region, or one does not exist.
        """
        found: dict[str, list[Target]] = {}
        for target in targets:
            for region in self.of(target):
                found.setdefault(region, []).append(target)
        if not found:
            if self.partition:
                raise ConfigError(
                    f"no region of the partition {self.partition} is set",
                    hint=f"leave out --partition, or {instead}add `regions` to layers.yaml",
                )
            raise ConfigError("no region is set", hint=f"{instead}add `regions` to layers.yaml")
        return found


@dataclass(frozen=True)
class ShippingJob:
    """What a shipping verb works on.

    Attributes:
        desired: The artifacts, whose zips were checked.
        site: Where to publish.
    """

    desired: list[Desired]
    site: Site


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


@dataclass(frozen=True)
class Filters:
    """Names of what is worked on; an empty one lets everything pass."""

    layers: Sequence[str] = ()
    runtimes: Sequence[str] = ()
    architectures: Sequence[str] = ()

    def take(self, place: Place) -> bool:
        """Whether a target is among them."""
        named = (self.layers, self.runtimes, self.architectures)
        return all(not names or one in names for names, one in zip(named, place, strict=True))

    def beyond(self, index: Index) -> Filters:
        """Return those names that the index does not have."""
        known = [(one.layer, one.runtime, one.architecture) for one in index.layers]
        return Filters(
            *(
                [name for name in names if name not in {place[n] for place in known}]
                for n, names in enumerate((self.layers, self.runtimes, self.architectures))
            )
        )


@dataclass(frozen=True)
class Reach:
    """What a verb works on.

    Attributes:
        site: Where.
        where: Region -> targets, those of layers.yaml first.
        versions: Target of layers.yaml -> its version there.
        wanted: Regions and targets of layers.yaml; the others were published once.
        unread: The home region, where its index could not be read.
    """

    site: Site
    where: dict[str, list[Place]]
    versions: dict[Place, str]
    wanted: Collection[tuple[str, Place]]
    unread: list[Quarantined]


def spots(
    config: Config, index: Index, filters: Filters, choice: RegionChoice
) -> tuple[dict[str, list[Place]], set[tuple[str, Place]]]:
    """Return region -> targets of layers.yaml and of the index, and which are of layers.yaml.

    Raises:
        ConfigError: A filter names what neither has, or nothing is left.
    """
    beyond = filters.beyond(index)
    # Says which name it does not know, and what may be meant.
    targets = plan(
        config,
        layers=beyond.layers,
        only_runtimes=beyond.runtimes,
        architectures=beyond.architectures,
    )
    targets = [target for target in targets if filters.take(target.place)]
    wanted = [
        (region, target.place)
        for region, there in (choice.by_region(targets) if targets else {}).items()
        for target in there
    ]
    published = [
        (one.region, (one.layer, one.runtime, one.architecture))
        for one in index.layers
        if choice.takes(one.region) and filters.take((one.layer, one.runtime, one.architecture))
    ]
    found = _grouped([*wanted, *published])
    if not found:
        raise ConfigError(
            "no target matches the filters",
            cause="neither layers.yaml nor the index has it in these regions",
            hint="run `python build/layers.py arn` to see all that is published",
        )
    return found, set(wanted)


def _grouped(pairs: Iterable[tuple[str, Place]]) -> dict[str, list[Place]]:
    found: dict[str, list[Place]] = {}
    for region, place in dict.fromkeys(pairs):
        found.setdefault(region, []).append(place)
    return found

"""Where a run publishes: the regions that are chosen, the accounts behind them, and the bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from layersmith.errors import ConfigError
from layersmith.ship.aws import accounts, regions
from layersmith.ship.publish import canary, lease

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layersmith.config.loader import LoadedConfig
    from layersmith.plan import Target
    from layersmith.ship.aws.accounts import Account
    from layersmith.ship.aws.clients import Aws
    from layersmith.ship.publish.models import Desired


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

    def by_region(self, targets: Sequence[Target]) -> dict[str, list[Target]]:
        """Return region -> its targets, regions in the order in which they are named.

        Raises:
            ConfigError: There is no region, or one does not exist.
        """
        found: dict[str, list[Target]] = {}
        for target in targets:
            for region in self.of(target):
                found.setdefault(region, []).append(target)
        if not found:
            raise ConfigError(
                "no region is set",
                hint="pass --region, or add `regions` to layers.yaml",
            )
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

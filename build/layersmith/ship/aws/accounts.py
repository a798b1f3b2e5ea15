"""The accounts of a run: one a partition, each with its own role, profile and credentials."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layersmith.errors import ConfigError
from layersmith.ship.aws import clients, regions
from layersmith.ship.aws.clients import Aws
from layersmith.ship.aws.failures import OF_THE_RUN, AwsFailure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class AccountAccess:
    """How the accounts are reached.

    Attributes:
        endpoint_url: Address to use instead of AWS's own; None follows boto3's variables.
        roles: Partition -> ARN of the role to assume.
        profiles: Partition -> profile of the AWS configuration.
        max_attempts: Tries of one call, the first included.
        concurrency: Connections kept a client.
    """

    endpoint_url: str | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    profiles: Mapping[str, str] = field(default_factory=dict)
    max_attempts: int = clients.MAX_ATTEMPTS
    concurrency: int = clients.CONCURRENCY

    def clients(self, names: Sequence[str]) -> Mapping[str, Aws]:
        """Return region -> clients, those of one partition shared; prove the credentials.

        Raises:
            AwsFailure: The credentials of a partition are missing or expired.
        """
        made: dict[str, Aws] = {}
        for region in names:
            partition = regions.partition_of(region)
            if partition not in made:
                made[partition] = Aws(
                    endpoint_url=self.endpoint_url,
                    role_arn=self.roles.get(partition),
                    profile=self.profiles.get(partition),
                    max_attempts=self.max_attempts,
                    concurrency=self.concurrency,
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


def by_partition(given: Sequence[str]) -> dict[str, str]:
    """Return partition -> value for ``[PARTITION=]VALUE``; without a partition it is aws.

    Raises:
        ConfigError: There is no such partition.
    """
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

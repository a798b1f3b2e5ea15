"""The accounts of a run: one a partition, each with its own role, profile and credentials."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layersmith.errors import ConfigError, ShipError
from layersmith.ship.aws import clients, regions
from layersmith.ship.aws.clients import Aws
from layersmith.ship.aws.failures import OF_THE_RUN, AwsFailure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Account:
    """An account of a run.

    Attributes:
        partition: ``aws``, ``aws-cn`` or ``aws-us-gov``.
        account: Its 12 digits.
        alias: Its alias; empty where it has none, or where IAM does not say.
    """

    partition: str
    account: str
    alias: str

    def __str__(self) -> str:
        """Number and alias, and the partition where it is not aws."""
        said = [self.alias] if self.alias else []
        said += [self.partition] if self.partition != "aws" else []
        return f"{self.account} ({', '.join(said)})" if said else self.account


def identify(aws: Mapping[str, Aws]) -> tuple[Account, ...]:
    """Return the accounts of a run, one a partition.

    Args:
        aws: Region -> clients.

    Raises:
        AwsFailure: The credentials are missing or expired.
    """
    first: dict[str, str] = {}
    for region in aws:
        first.setdefault(regions.partition_of(region), region)
    return tuple(
        Account(partition, aws[region].account(region), aws[region].alias(region))
        for partition, region in first.items()
    )


def spell(found: Sequence[Account]) -> str:
    """Return the accounts for people: ``account 123456789012 (acme)``."""
    return f"account{'s' * (len(found) > 1)} {' and '.join(map(str, found))}"


def refuse_others(found: Sequence[Account], allowed: Sequence[str]) -> None:
    """Make sure that every account may be worked on.

    Args:
        found: The accounts of the run.
        allowed: ``accounts`` of layers.yaml; empty allows all.

    Raises:
        ShipError: An account is not among them.
    """
    others = [one for one in found if allowed and one.account not in allowed]
    if others:
        raise ShipError(
            f"{spell(others)} is not in `accounts` of layers.yaml: {', '.join(allowed)}",
            cause="the credentials, --role or --profile are those of another account",
            hint="sign in to an account of the list, or add this one; nothing was changed",
        )


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
    _made: dict[str, Aws] = field(default_factory=dict, repr=False, compare=False)

    def clients(self, names: Sequence[str]) -> Mapping[str, Aws]:
        """Return region -> clients, those of one partition shared; prove the credentials once.

        Raises:
            AwsFailure: The credentials of a partition are missing or expired.
        """
        made = self._made
        for region in names:
            partition = regions.partition_of(region)
            if partition not in made:
                aws = Aws(
                    endpoint_url=self.endpoint_url,
                    role_arn=self.roles.get(partition),
                    profile=self.profiles.get(partition),
                    max_attempts=self.max_attempts,
                    concurrency=self.concurrency,
                )
                _prove(aws, [r for r in names if regions.partition_of(r) == partition])
                made[partition] = aws
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

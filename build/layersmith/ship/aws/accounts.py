"""The accounts of a run: one a partition, each with its own role, profile and credentials.

``Aws`` is the one place where AWS clients are made. Retries are botocore's adaptive mode:
exponential backoff with jitter, and a rate that falls while the service throttles. A Retry-After is
kept to as well. Endpoints follow boto3's own variables (AWS_ENDPOINT_URL and
AWS_ENDPOINT_URL_<SERVICE>) or the argument.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from layersmith.base import http
from layersmith.errors import ConfigError, ShipError
from layersmith.ship.aws import failures, regions
from layersmith.ship.aws.failures import OF_THE_RUN, AwsFailure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from types_boto3_lambda.client import LambdaClient
    from types_boto3_s3.client import S3Client
    from types_boto3_ssm.client import SSMClient

CONCURRENCY = 16
"""Regions worked on at once: Lambda's control API allows 15 requests a second and region."""

MAX_ATTEMPTS = 8
"""Tries of one call, the first included, before its region is quarantined."""

CONNECT_TIMEOUT = 10
READ_TIMEOUT = 120
"""Seconds; publishing 50 MB in the request itself takes longer than botocore's 60."""


@dataclass
class Aws:
    """Clients of one account, by service and region, shared by threads.

    Attributes:
        endpoint_url: Address instead of AWS's own; None follows boto3's variables.
        role_arn: Role to assume first; None uses the credentials as they are.
        profile: Profile of the AWS configuration; None follows AWS_PROFILE.
        max_attempts: Tries of one call, the first included.
        concurrency: Connections kept a client.
    """

    endpoint_url: str | None = None
    role_arn: str | None = None
    profile: str | None = None
    max_attempts: int = MAX_ATTEMPTS
    concurrency: int = CONCURRENCY
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _session: boto3.Session | None = field(default=None, repr=False)
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)
    _account: str | None = field(default=None, repr=False)
    _alias: str | None = field(default=None, repr=False)

    def client(self, service: str, region: str) -> Any:
        """Return the client of a service in a region, made on first use.

        Raises:
            AwsFailure: There are no credentials, or the role cannot be assumed.
        """
        with self._lock, failures.configuring(region):
            key = (service, region)
            if key not in self._clients:
                session = self._ready_session(region)
                attempts = 1 if service == "iam" else self.max_attempts
                self._clients[key] = self._make(session, service, region, attempts)
            return self._clients[key]

    def lambda_(self, region: str) -> LambdaClient:
        """Return the client of Lambda."""
        client: LambdaClient = self.client("lambda", region)
        return client

    def s3(self, region: str) -> S3Client:
        """Return the client of S3."""
        client: S3Client = self.client("s3", region)
        return client

    def ssm(self, region: str) -> SSMClient:
        """Return the client of Systems Manager's parameters."""
        client: SSMClient = self.client("ssm", region)
        return client

    def account(self, region: str) -> str:
        """Return the 12 digits of the account; the first call proves the credentials.

        Args:
            region: Region whose STS endpoint is asked.

        Raises:
            AwsFailure: There are no credentials, or they have expired.
        """
        with self._lock:
            if self._account is None:
                sts = self.client("sts", region)
                # The first call also reads what a profile says of credentials.
                with failures.configuring(region), failures.explained(region, "sts"):
                    self._account = str(sts.get_caller_identity()["Account"])
            return self._account

    def alias(self, region: str) -> str:
        """Return the account's alias, for people; empty where it has none or IAM does not say.

        Args:
            region: Region of the partition whose IAM is asked.
        """
        with self._lock:
            if self._alias is None:
                self._alias = ""
                with suppress(failures.AwsFailure), failures.explained(region, "iam"):
                    iam = self.client("iam", region)
                    self._alias = next(
                        iter(iam.list_account_aliases().get("AccountAliases", ())), ""
                    )
            return self._alias

    def forget(self, region: str) -> None:
        """Close the clients of a region that is done with, to bound memory."""
        with self._lock:
            for key in [key for key in self._clients if key[1] == region]:
                self._clients.pop(key).close()

    def _config(self, attempts: int) -> Config:
        return Config(
            retries={"mode": "adaptive", "total_max_attempts": attempts},
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            max_pool_connections=self.concurrency,
            user_agent_extra="layersmith",
        )

    def _ready_session(self, region: str) -> boto3.Session:
        if self._session is None:
            plain = boto3.Session(profile_name=self.profile)
            self._session = self._assume(plain, region) if self.role_arn else plain
        return self._session

    def _assume(self, plain: boto3.Session, region: str) -> boto3.Session:
        sts = self._make(plain, "sts", region, self.max_attempts)
        with failures.explained(region, "sts"):
            answer = sts.assume_role(RoleArn=str(self.role_arn), RoleSessionName="layersmith")
            given = answer["Credentials"]
            return boto3.Session(
                aws_access_key_id=given["AccessKeyId"],
                aws_secret_access_key=given["SecretAccessKey"],
                aws_session_token=given["SessionToken"],
            )

    def _make(self, session: Any, service: str, region: str, attempts: int) -> Any:
        client = session.client(
            service,
            region_name=region,
            endpoint_url=self.endpoint_url,
            config=self._config(attempts),
        )
        wait = partial(_keep_to_retry_after, f"{region}: {service}", region, attempts)
        client.meta.events.register("needs-retry", wait)
        return client


def _keep_to_retry_after(
    what: str, region: str, most: int, response: Any = None, attempts: int = 1, **_: Any
) -> float | None:
    """Wait as long as an answer asks to (Retry-After), before botocore's own pause.

    botocore knows x-amz-retry-after alone; RFC 9110's header comes from proxies and load balancers.

    Returns:
        Zero seconds more where the call is to be sent again whatever botocore thinks of the answer.

    Raises:
        AwsFailure: The server asks for longer than anybody waits.
    """
    answer = response[0] if response else None
    if answer is None or not (
        answer.status_code == http.TOO_MANY_REQUESTS or answer.status_code >= http.SERVER_ERROR
    ):
        return None
    asked = http.retry_after(answer.headers.get("retry-after"), time.time()) or 0.0
    if asked > http.LONGEST_RETRY_AFTER:
        message = f"{what} asks to wait {asked:.0f} s (Retry-After)"
        raise failures.AwsFailure(failures.Kind.THROTTLED, message, region=region, action=None)
    if not asked or attempts >= most:
        return None
    time.sleep(asked)
    return 0.0


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
    max_attempts: int = MAX_ATTEMPTS
    concurrency: int = CONCURRENCY
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
    """Ask one region after the other who we are, until one is up.

    A region that is not enabled takes no credentials; one that always is tells what is the matter.
    """
    home = regions.HOME[regions.partition_of(names[0])]
    waiting = list(dict.fromkeys(names))
    while waiting:
        region = waiting.pop(0)
        try:
            aws.account(region)
        except AwsFailure as failure:
            if region != home and failures.depends_on_region(failure):
                waiting = [home, *(name for name in waiting if name != home)]
            elif failure.kind in OF_THE_RUN or not waiting:
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

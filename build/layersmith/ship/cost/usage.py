"""Reads what is stored, what was used and what earlier runs cost: versions, buckets, runs."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from layersmith.base import damage
from layersmith.errors import ConfigError, ShipError
from layersmith.ship.aws import buckets, failures, labels
from layersmith.ship.cost import billing
from layersmith.ship.cost.billing import SessionUsage
from layersmith.ship.publish import observed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from layersmith.plan import Target
    from layersmith.ship.aws.accounts import Aws


@dataclass(frozen=True)
class Stored:
    """One layer version as it counts against the quota.

    Attributes:
        layer: Name of the layer in AWS.
        version: Semantic version, or ``placeholder``.
        number: Integer version.
        size: Bytes of its zip.
    """

    layer: str
    version: str
    number: int
    size: int


@dataclass(frozen=True)
class RegionUse:
    """What one region stores.

    Attributes:
        region: Its name.
        versions: Layer versions of the targets.
        code_used: Bytes of all functions and layers of the account, 0 where AWS did not say.
        code_limit: Bytes it may store.
        bucket_bytes: Bytes of the artifact bucket, older versions of objects among them.
        puts: Objects written to the bucket this month; each was a PUT request.
    """

    region: str
    versions: tuple[Stored, ...]
    code_used: int
    code_limit: int
    bucket_bytes: int
    puts: int

    @property
    def layer_bytes(self) -> int:
        """Bytes of the targets' layer versions."""
        return sum(version.size for version in self.versions)

    @property
    def share(self) -> float:
        """Share of the quota that is used, 0 to 1."""
        return max(self.code_used, self.layer_bytes) / self.code_limit


def region_use(
    aws: Aws, stack: str, region: str, targets: Sequence[Target], month: datetime
) -> RegionUse:
    """Read what one region stores.

    Args:
        aws: Clients of the account.
        stack: Name of the installation.
        region: The region.
        targets: The targets whose versions are counted.
        month: First instant of the month, with a time zone.

    Raises:
        AwsFailure: A call failed.
    """
    versions = tuple(stored for target in targets for stored in _versions(aws, region, target))
    used, limit = _quota(aws, region)
    size, puts = _bucket(aws, stack, region, month)
    return RegionUse(region, versions, used, limit, size, puts)


def _versions(aws: Aws, region: str, target: Target) -> Iterator[Stored]:
    client = aws.lambda_(region)
    name = labels.layer_name(target.layer, target.runtime.name, target.architecture)
    with failures.explained(region, "lambda"):
        for version in observed.list_versions(client, name):
            answer = client.get_layer_version(LayerName=name, VersionNumber=version.number)
            said = version.semver or ("placeholder" if version.placeholder else "unknown")
            yield Stored(name, said, version.number, answer["Content"]["CodeSize"])


def _quota(aws: Aws, region: str) -> tuple[int, int]:
    try:
        answer = aws.lambda_(region).get_account_settings()
    except ClientError as error:
        # A role may read layers without being allowed to read the account's settings.
        if "AccessDenied" in failures.code_of(error):
            return 0, billing.CODE_QUOTA
        raise failures.from_client_error(error, region, "lambda") from error
    return answer["AccountUsage"]["TotalCodeSize"], answer["AccountLimit"]["TotalCodeSize"]


def _bucket(aws: Aws, stack: str, region: str, month: datetime) -> tuple[int, int]:
    name = buckets.artifact_bucket(stack, aws.account(region), region)
    size = puts = 0
    with failures.explained(region, "s3"):
        pages = aws.s3(region).get_paginator("list_object_versions")
        try:
            for page in pages.paginate(Bucket=name):
                for one in page.get("Versions", ()):
                    size += one.get("Size", 0)
                    puts += one["LastModified"] >= month
        except ClientError as error:
            if not failures.is_missing(error):
                raise
    return size, puts


def sessions(aws: Aws, region: str, prefix: str, month: datetime) -> SessionUsage:
    """Read what the standard state machines whose names begin with ``prefix`` used since ``month``.

    Raises:
        AwsFailure: Step Functions refused.
    """
    client = aws.client("stepfunctions", region)
    used = SessionUsage()
    with failures.explained(region, "states"):
        for page in client.get_paginator("list_state_machines").paginate():
            for machine in page["stateMachines"]:
                # ListExecutions refuses an Express machine (Step Functions API reference).
                if machine["name"].startswith(prefix) and machine["type"] != "EXPRESS":
                    arn = machine["stateMachineArn"]
                    for events in _executions(client, arn, month):
                        used = used.plus(billing.of_execution(events))
    return used


def _executions(client: Any, arn: str, month: datetime) -> Iterator[list[dict[str, Any]]]:
    for page in client.get_paginator("list_executions").paginate(stateMachineArn=arn):
        for one in page["executions"]:
            # Newest first: what follows is older still.
            if one["startDate"] < month:
                return
            yield list(history(client, one["executionArn"]))


def history(client: Any, execution: str) -> Iterator[dict[str, Any]]:
    """Yield the events of an execution, oldest first, with what AWS bills of its Distributed Maps.

    The events say which map run was started, not how many executions it started.

    Args:
        client: botocore's client of Step Functions.
        execution: ARN of the execution.

    Raises:
        botocore.exceptions.ClientError: Step Functions refuses.
    """
    pages = client.get_paginator("get_execution_history").paginate(executionArn=execution)
    for page in pages:
        for event in page["events"]:
            if event["type"] == "MapRunStarted":
                details = event["mapRunStartedEventDetails"]
                run = client.describe_map_run(mapRunArn=details["mapRunArn"])
                details[billing.CHILDREN] = run["executionCounts"]["total"]
            yield event


def read_jobs(path: Path) -> list[dict[str, Any]]:
    """Return the jobs of a workflow run from a file.

    Args:
        path: Answer of GitHub's ``GET /repos/{owner}/{repo}/actions/runs/{id}/jobs``.

    Raises:
        ConfigError: The file is not that.
    """
    hint = "save the answer of GitHub's API for the jobs of a workflow run"
    with damage.told(path.name, ConfigError, kind="list of jobs", hint=hint):
        jobs: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["jobs"]
        minutes(jobs)
    return jobs


def minutes(jobs: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Return key of the price -> billed minutes; GitHub rounds every job up to a minute.

    Args:
        jobs: Jobs as GitHub's API describes them; those that have not ended are left out.
    """
    found: dict[str, int] = {}
    for job in jobs:
        if not job.get("started_at") or not job.get("completed_at"):
            continue
        began, ended = map(datetime.fromisoformat, (job["started_at"], job["completed_at"]))
        arm = any("arm" in label for label in job["labels"])
        key = f"github-linux-{'arm64' if arm else 'x64'}-minute"
        took = math.ceil((ended - began).total_seconds() / 60)
        found[key] = found.get(key, 0) + max(1, took)
    return found


TRIES = 5


def append(aws: Aws, region: str, bucket: str, record: dict[str, Any]) -> str:
    """Add a line to the history, and return the whole; two runs at once lose no line.

    Args:
        aws: Clients of the account.
        region: The home region.
        bucket: Its artifact bucket.
        record: The line; one of the same ``date`` is replaced, so that a repeated run counts once,
            but no whole one by one with ``unread``.

    Raises:
        AwsFailure: S3 refused.
        ShipError: Others kept writing.
    """
    for _ in range(TRIES):
        text, etag = read(aws, region, bucket)
        days = [(line, json.loads(line)) for line in text.splitlines()]
        kept = [line for line, day in days if day["date"] != record["date"]]
        whole_one = any(day["date"] == record["date"] and not day.get("unread") for _, day in days)
        if whole_one and record.get("unread"):
            return text
        whole = "\n".join([*kept, json.dumps(record, sort_keys=True)]) + "\n"
        condition: dict[str, Any] = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        with failures.explained(region, "s3"):
            try:
                aws.s3(region).put_object(
                    Bucket=bucket,
                    Key=buckets.COSTS,
                    Body=whole.encode(),
                    ContentType="application/x-ndjson",
                    **condition,
                )
            except ClientError as error:
                if failures.is_conflict(error):
                    continue
                raise
        return whole
    raise ShipError(
        f"{region}: the history of costs kept changing while it was being updated",
        hint="run it again",
    )


def read(aws: Aws, region: str, bucket: str) -> tuple[str, str | None]:
    """Return the history and its ETag; nothing where there is none.

    Raises:
        AwsFailure: S3 refused.
    """
    with failures.explained(region, "s3"):
        try:
            answer = aws.s3(region).get_object(Bucket=bucket, Key=buckets.COSTS)
        except ClientError as error:
            if failures.is_missing(error):
                return "", None
            raise
        return answer["Body"].read().decode(), answer["ETag"]

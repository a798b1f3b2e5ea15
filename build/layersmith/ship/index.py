"""The list of every ARN, for programs: one JSON document in S3 and in the release.

It follows from the pointers in the accounts. A region that cannot be read keeps what the last
index said of it, so that an outage does not take ARNs away.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict, ValidationError

from layersmith.errors import ShipError
from layersmith.ship import buckets, failures
from layersmith.ship.labels import order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from layersmith.ship.aws import Aws
    from layersmith.ship.model import RegionState, Wanted

TRIES = 5
"""Writes of the index before a run gives up against others that write it, too."""


class Record(BaseModel):
    """Base of the index's records."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Entry(Record):
    """One version of one target in one region."""

    layer: str
    version: str
    """Semantic version."""
    runtime: str
    architecture: str
    region: str
    arn: str
    latest: bool = False
    """Whether the region's ``latest`` names it."""
    yanked: str | None = None
    """Why it was withdrawn."""

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What makes an entry: layer, version, runtime, architecture, region."""
        return (self.layer, self.version, self.runtime, self.architecture, self.region)


class Index(Record):
    """index/layers.json."""

    format: Literal[1] = 1
    layers: list[Entry] = []

    def to_json(self) -> str:
        """Return the index as it is written: the same entries give the same bytes."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True), indent=1) + "\n"


def parse(text: str | bytes) -> Index:
    """Read an index.

    Raises:
        ShipError: It is damaged or of a newer format.
    """
    try:
        return Index.model_validate_json(text)
    except ValidationError as problem:
        raise ShipError(
            "the index cannot be read",
            cause=str(problem.errors()[0]["msg"]),
            hint="a newer layersmith may have written it; otherwise publish again",
        ) from None


def entries(wanted: Sequence[Wanted], states: Iterable[RegionState]) -> list[Entry]:
    """Return an entry for every pointer in the regions that could be read."""
    found: dict[tuple[str, ...], Entry] = {}
    for state in states:
        for want in wanted:
            if want.identifier not in state.held:
                continue
            pointers = state.held[want.identifier].pointers
            for version, arn in pointers.versions.items():
                entry = Entry(
                    layer=want.layer,
                    version=version,
                    runtime=want.runtime,
                    architecture=want.architecture,
                    region=state.region,
                    arn=arn,
                    latest=arn == pointers.latest,
                    yanked=pointers.yanked.get(version),
                )
                found[entry.key] = entry
    return list(found.values())


def merge(old: Index, new: Sequence[Entry], read: Iterable[tuple[str, str, str, str]]) -> Index:
    """Return the old index with what was read in the place of what it said.

    Args:
        old: The index as it was.
        new: Entries of what was read.
        read: Layer, runtime, architecture and region of everything that was read.
    """
    known = set(read)
    kept = [
        entry
        for entry in old.layers
        if (entry.layer, entry.runtime, entry.architecture, entry.region) not in known
    ]
    return Index(layers=sorted([*kept, *new], key=_sorting))


def _sorting(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.layer,
        order(entry.version),
        entry.runtime,
        entry.architecture,
        entry.region,
    )


def update(
    aws: Aws, region: str, bucket: str, wanted: Sequence[Wanted], states: Mapping[str, RegionState]
) -> Index:
    """Bring the index in a region's bucket up to date; two runs at once lose nothing.

    Args:
        aws: Clients of the account.
        region: Region of the bucket.
        bucket: The artifact bucket.
        wanted: The artifacts, whose targets are in the index.
        states: What the regions hold now.

    Raises:
        AwsFailure: S3 refused.
        ShipError: The index is damaged, or others kept writing it.
    """
    new = entries(wanted, states.values())
    read = [
        (want.layer, want.runtime, want.architecture, state.region)
        for state in states.values()
        for want in wanted
        if want.identifier in state.held
    ]
    for _ in range(TRIES):
        old, etag = fetch(aws, region, bucket)
        merged = merge(old, new, read)
        if etag and merged == old:
            return merged
        if _write(aws, region, bucket, merged, etag):
            return merged
    raise ShipError(f"{region}: others keep writing the index", hint="run it again")


def fetch(aws: Aws, region: str, bucket: str) -> tuple[Index, str | None]:
    """Return the index in a bucket and its ETag; an empty one where there is none.

    Raises:
        AwsFailure: S3 refused.
        ShipError: The index is damaged.
    """
    with failures.explained(region, "s3"):
        try:
            answer = aws.s3(region).get_object(Bucket=bucket, Key=buckets.INDEX)
        except ClientError as error:
            if failures.is_missing(error):
                return Index(), None
            raise
        return parse(answer["Body"].read()), answer["ETag"]


def _write(aws: Aws, region: str, bucket: str, index: Index, etag: str | None) -> bool:
    condition: dict[str, Any] = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
    with failures.explained(region, "s3"):
        try:
            aws.s3(region).put_object(
                Bucket=bucket,
                Key=buckets.INDEX,
                Body=index.to_json().encode(),
                ContentType="application/json",
                **condition,
            )
        except ClientError as error:
            if failures.is_conflict(error):
                return False
            raise
    return True

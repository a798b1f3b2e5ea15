"""The list of every ARN: one JSON document in S3 and in the release, and a table for people.

Records and their JSON come first, then what pointers say as entries, then the document in the home
region's bucket, which two runs may write at once.

It follows from the pointers in the accounts. A region that cannot be read keeps what the last index
said of it, so that an outage does not take ARNs away.

The table is one HTML file that needs nothing else, and CSV. What to paste so that a function uses a
layer version is data, in snippets.toml: the command line and the page fill in the same templates
with the same words.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError
from pydantic import ValidationError

from layersmith.base.models import StrictModel
from layersmith.base.versions import order
from layersmith.errors import ShipError
from layersmith.ship.aws import buckets, failures, labels
from layersmith.ship.publish.models import Pointers, Quarantined

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from layersmith.ship.aws.accounts import Aws
    from layersmith.ship.publish.models import Desired, Place, RegionState
    from layersmith.ship.publish.site import Site

TRIES = 5
"""Writes of the index before a run gives up against others that write it, too."""

PAGE = Path(__file__).with_name("catalog.html")

LATEST = "latest"
"""State of the version that a region's pointer of that name leads to."""

COLUMNS = ("layer", "version", "runtime", "architecture", "region", "state", "arn")

TEMPLATES = Path(__file__).with_name("snippets.toml")

Source = Literal["parameter", "arn"]
"""What a snippet names."""

_WORD = re.compile(r"@\{(\w+)\}")


class IndexEntry(StrictModel):
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


class Index(StrictModel):
    """index/layers.json."""

    format: Literal[1] = 1
    layers: list[IndexEntry] = []

    def to_json(self) -> str:
        """Return the index as it is written: the same entries give the same bytes."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True), indent=1) + "\n"


AGAIN = "the index is not up to date: run it again"
"""Next step where only the index was not written; what was done is not repeated."""

NEWER = "a newer layersmith may have written it"
"""The likely cause of an index that cannot be read."""


def parse(text: str | bytes, *, otherwise: str = "get the file again") -> Index:
    """Read an index.

    Args:
        text: Its JSON.
        otherwise: What to do where it is damaged.

    Raises:
        ShipError: It is damaged or of a newer format.
    """
    try:
        return Index.model_validate_json(text)
    except ValidationError as problem:
        raise ShipError(
            "the index cannot be read",
            cause=str(problem.errors()[0]["msg"]),
            hint=f"{NEWER}; otherwise {otherwise}",
        ) from None


def read(paths: Iterable[Path]) -> Index:
    """Return the entries of several files as one index, each once.

    Raises:
        ShipError: A file cannot be read, or is not an index.
    """
    found: dict[tuple[str, ...], IndexEntry] = {}
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as problem:
            raise ShipError(f"{path} cannot be read: {problem.strerror}") from None
        found.update((entry.key, entry) for entry in parse(content).layers)
    return Index(layers=list(found.values()))


@dataclass(frozen=True)
class ObservedPointers:
    """The pointers of one target in one region, as they were read.

    ``wanted`` says that layers.yaml has the target there; else it was published once. ``gone`` are
    the versions whose pointer is there and whose layer version is not: somebody deleted it.
    """

    layer: str
    runtime: str
    architecture: str
    region: str
    pointers: Pointers
    wanted: bool = True
    gone: frozenset[str] = frozenset()


def observe(desired: Sequence[Desired], states: Iterable[RegionState]) -> list[ObservedPointers]:
    """Return the pointers of everything that was read."""
    return [
        ObservedPointers(
            want.layer,
            want.runtime,
            want.architecture,
            state.region,
            state.held[want.identifier].pointers,
        )
        for state in states
        for want in desired
        if want.identifier in state.held
    ]


def entries(observed: Iterable[ObservedPointers]) -> list[IndexEntry]:
    """Return an entry for every version that a pointer names."""
    return [
        IndexEntry(
            layer=one.layer,
            version=version,
            runtime=one.runtime,
            architecture=one.architecture,
            region=one.region,
            arn=arn,
            latest=arn == one.pointers.latest,
            yanked=one.pointers.yanked.get(version),
        )
        for one in observed
        for version, arn in one.pointers.versions.items()
    ]


def merge(old: Index, observed: Sequence[ObservedPointers]) -> Index:
    """Return the old index with what was read in the place of what it said of the same."""
    known = {(one.layer, one.runtime, one.architecture, one.region) for one in observed}
    kept = [
        entry
        for entry in old.layers
        if (entry.layer, entry.runtime, entry.architecture, entry.region) not in known
    ]
    return Index(layers=sorted([*kept, *entries(observed)], key=_sorting))


def _sorting(entry: IndexEntry) -> tuple[Any, ...]:
    return (
        entry.layer,
        order(entry.version),
        entry.runtime,
        entry.architecture,
        entry.region,
    )


def recall(site: Site, layer: str, regions: Iterable[str]) -> list[ObservedPointers]:
    """Return what the index says of a layer in regions that cannot be read now.

    A region that the index does not list holds nothing of the layer.

    Raises:
        ShipError: The index cannot be read, or does not list the layer at all.
    """
    listed = [entry for entry in published(site).layers if entry.layer == layer]
    if not listed:
        raise ShipError(f"the index in {site.home} does not list {layer}")
    places = {(one.layer, one.runtime, one.architecture, one.region) for one in listed}
    return [
        ObservedPointers(*place, _recalled([one for one in listed if one.key[2:] == place[1:]]))
        for place in sorted(places)
        if place[3] in set(regions)
    ]


def published(site: Site) -> Index:
    """Return the index of the home region: all that was ever published and not deleted.

    Raises:
        AwsFailure: S3 refused.
        ShipError: The index is damaged.
    """
    aws = site.aws[site.home]
    bucket = buckets.artifact_bucket(site.stack, aws.account(site.home), site.home)
    return fetch(aws, site.home, bucket)[0]


def _recalled(listed: Sequence[IndexEntry]) -> Pointers:
    """The pointers of one place as its entries give them."""
    return Pointers(
        next((one.arn for one in listed if one.latest), None),
        {one.version: one.arn for one in listed},
        {one.version: one.yanked for one in listed if one.yanked is not None},
    )


def update(aws: Aws, region: str, bucket: str, observed: Sequence[ObservedPointers]) -> Index:
    """Bring the index in a region's bucket up to date; two runs at once lose nothing.

    Args:
        aws: Clients of the account.
        region: Region of the bucket.
        bucket: The artifact bucket.
        observed: What was read of the pointers.

    Raises:
        AwsFailure: S3 refused.
        ShipError: The index is damaged, or others kept writing it.
    """
    for _ in range(TRIES):
        old, etag = fetch(aws, region, bucket)
        merged = merge(old, observed)
        if etag and merged == old:
            return merged
        if _write(aws, region, bucket, merged, etag):
            return merged
    raise ShipError(
        f"{region}: the index kept changing while it was being updated; gave up after 5 attempts",
        hint="run it again",
    )


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
        otherwise = (
            f"restore an earlier version of s3://{bucket}/{buckets.INDEX}, or delete it: "
            "`publish apply` writes what layers.yaml has"
        )
        return parse(answer["Body"].read(), otherwise=otherwise), answer["ETag"]


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


def refresh(
    site: Site, observed: Sequence[ObservedPointers], unread: Sequence[Quarantined] = ()
) -> tuple[Index | None, list[Quarantined]]:
    """Write the index from what was read.

    Args:
        site: Where, with the home region.
        observed: What was read of the pointers.
        unread: Regions that could not be read: the index keeps what it said of them.

    Returns:
        The index, or None where it could not be written; and what is missing in it.

    Raises:
        AwsFailure: It concerns the whole run, such as expired credentials.
    """
    stale = [Quarantined(one.region, f"the index: {one.reason}", AGAIN) for one in unread]
    aws = site.aws[site.home]
    try:
        bucket = buckets.artifact_bucket(site.stack, aws.account(site.home), site.home)
        known = fetch(aws, site.home, bucket)[0]
        if merge(known, observed) == known:
            return known, stale
        bucket = buckets.ensure(aws, site.stack, site.home)
        return update(aws, site.home, bucket, observed), stale
    except failures.AwsFailure as failure:
        if failure.kind in failures.OF_THE_RUN:
            raise
        return None, [Quarantined(site.home, f"the index: {failure.line}", AGAIN)]
    except ShipError as problem:
        why = f"the index: {problem.message} ({problem.cause})" if problem.cause else str(problem)
        return None, [Quarantined(site.home, why, problem.hint or AGAIN)]


def state(entry: IndexEntry) -> str:
    """Return ``latest``, ``yanked: <reason>``, or nothing."""
    if entry.yanked is not None:
        return f"yanked: {entry.yanked}"
    return LATEST if entry.latest else ""


def table_rows(entries: Sequence[IndexEntry]) -> list[tuple[str, ...]]:
    """Return the cells of the table, newest versions of a layer first."""
    by_version = sorted(entries, key=lambda entry: order(entry.version), reverse=True)
    ordered = sorted(
        by_version, key=lambda e: (e.layer, not e.latest, e.runtime, e.architecture, e.region)
    )
    return [
        (e.layer, e.version, e.runtime, e.architecture, e.region, state(e), e.arn) for e in ordered
    ]


def csv_table(entries: Sequence[IndexEntry]) -> str:
    """Return the table as CSV (RFC 4180, with a header line)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    writer.writerows(table_rows(entries))
    return buffer.getvalue()


def html(entries: Sequence[IndexEntry]) -> str:
    """Return the table as one HTML page, with search and copy buttons."""
    import jinja2  # noqa: PLC0415 -- start-up time

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    page = environment.from_string(PAGE.read_text(encoding="utf-8"))
    cells = [dict(zip(COLUMNS, row, strict=True)) for row in table_rows(entries)]
    return page.render(
        rows=[{**row, "words": json.dumps(_words(row))} for row in cells],
        templates=snippets(),
        # The page's own element must not end within its text.
        data=json.dumps(snippets()).replace("<", "\\u003c"),
    )


def _words(row: Mapping[str, str]) -> dict[str, str]:
    """Return what the page puts into the templates for a row."""
    version = LATEST if row["state"] == LATEST else row["version"]
    place = (row["layer"], row["runtime"], row["architecture"])
    return snippet_words(place, version, row["region"], row["arn"])


@functools.cache
def snippets() -> dict[str, dict[str, str]]:
    """Return format to its title and its templates by source, in the order of the file."""
    found = tomllib.loads(TEMPLATES.read_text("utf-8"))
    return {
        name: {key: text.lstrip("\n") for key, text in one.items()} for name, one in found.items()
    }


def snippet_words(place: Place, version: str, region: str = "", arn: str = "") -> dict[str, str]:
    """Return what the templates hold places for.

    Args:
        place: Layer, runtime and architecture.
        version: Semantic version, or ``latest``.
        region: Where the ARN is.
        arn: Of the layer version.
    """
    layer, runtime, architecture = place
    parts = [*layer.split("-"), "layer"]
    return {
        "layer": layer,
        "version": version,
        "runtime": runtime,
        "architecture": architecture,
        "region": region,
        "arn": arn,
        "parameter": labels.parameter(*place, version),
        "logical": "".join(part.capitalize() for part in parts),
        "name": "_".join(parts),
        "variable": "_".join(parts).upper(),
    }


def fill_snippet(kind: str, source: Source, values: Mapping[str, str]) -> str:
    """Return the text of a format.

    Args:
        kind: Name of the format.
        source: Whether it names the SSM parameter or the ARN.
        values: Of `words`.
    """
    return _WORD.sub(lambda found: values[found[1]], snippets()[kind][source])

"""What vector search costs a month in each store, how fast it answers, and which fits.

`vectors plan` prints it, and `session run` says from it what the same work costs elsewhere. Prices
are those of ``prices.json``, times those of ``times.json``; how large the stores are is stated
here, each with where it comes from.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith.ship.cost import billing
from layersmith.ship.cost.billing import Item  # noqa: TC001 -- `schema` reads the fields' types

if TYPE_CHECKING:
    from layersmith.ship.cost.billing import Prices, Use

GB, TB = 2**30, 2**40
"""Of S3 Vectors: the example on the page of S3's prices comes out with these alone."""

RECORD_BYTES = 500
"""Of an id, metadata and a short document; what is larger is said by `record_bytes`."""

FUNCTION_GB = 2.0
"""Memory of a function that searches a file: the vectors as 32-bit floats are a third of it."""

FILE_BYTES = 1024**3
"""Of a collection's vectors (`chroma_store.stores.feed.MAX_FILE_BYTES`)."""

PART = 8 * 1024 * 1024
"""Bytes of a request that loads a file (`vector_common.stores.file.PART_BYTES`)."""

S3VECTORS_DIMENSION = 4096
"""S3 user guide, S3 Vectors limitations and restrictions."""

S3VECTORS_RESULTS = 10_000
"""Records in an answer (S3 Vectors, since 2026-06-16)."""

TIERS = (
    ("s3vectors-processed-first-tb", 100_000),
    ("s3vectors-processed-tb", 10_000_000),
    ("s3vectors-processed-large-tb", 2_000_000_000),
)
"""Prices of what a query processes, each up to so many vectors of an index; the last is all that an
index holds (S3 pricing and user guide, S3 Vectors). What a query returns is free up to 512 KB; what
is beyond that is not counted."""

SESSION_TRANSITIONS = 13
"""State transitions of a session where nothing goes wrong (docs/operations.md)."""

SESSION_VCPU, SESSION_GB = 1.0, 4.0
"""The task that infra-templates/stages/dev.yaml chooses."""

INDEX_BYTES = 2300
"""Memory of Chroma's index for a vector of 384 dimensions (docs/operations.md: 23 GB for 10
million)."""

QUERIES_A_START = 10
"""Of a function, where they come one at a time; nobody knows how long Lambda keeps it."""

SESSION_QUERIES = 2_000
"""Queries in a row from which a session is the right place, whatever the month costs: it answers
from memory and is not billed by the query."""

TIMES = Path(__file__).with_name("times.json")
"""First answers and warm queries of the stores, each with its date and source; see `Times`."""


@dataclass(frozen=True)
class Times:
    """How fast the stores answer.

    Attributes:
        numbers: Of the database that was measured: vectors x dimensions. A file is searched whole,
            so its times grow with them.
        first: Milliseconds until the first answer, by store.
        warm: Milliseconds of a query after that, by store.
        sources: Where they are from, in words.
    """

    numbers: int
    first: dict[str, float]
    warm: dict[str, float]
    sources: str


@functools.cache
def times() -> Times:
    """Read what was measured."""
    known = json.loads(TIMES.read_text(encoding="utf-8"))
    stores = known["stores"]
    return Times(
        known["vectors"] * known["dimensions"],
        {name: float(one["first"]["ms"]) for name, one in stores.items()},
        {name: float(one["warm"]["ms"]) for name, one in stores.items()},
        "; ".join(
            f"{name}, {words}: {one[what]['source']}, {one[what]['date']}"
            for name, one in stores.items()
            for what, words in (("first", "first answer"), ("warm", "warm query"))
        ),
    )


@dataclass(frozen=True)
class Workload:
    """What a database has to do in a month.

    Attributes:
        vectors: Records in one collection.
        dimensions: Numbers in a vector.
        queries: In a month.
        sessions: Batches in which they come; 0 is one at a time, at any time.
        latency: Milliseconds that an answer may take; None is any.
        space: The distance.
        top: Records in an answer.
        record_bytes: Of a record beside its vector.
    """

    vectors: int
    dimensions: int
    queries: int
    sessions: int = 0
    latency: float | None = None
    space: str = "cosine"
    top: int = 10
    record_bytes: int = RECORD_BYTES


@dataclass(frozen=True)
class StorePlan:
    """One store for a workload.

    Attributes:
        store: ``file``, ``s3vectors`` or ``session``.
        items: The bill of a month.
        first_ms: Until the first answer, about.
        warm_ms: Of a query after that, about.
        limits: What it cannot do, in words.
        misfits: Why it does not fit this workload; empty if it does.
        loading: Of writing all records once, beside the month.
    """

    store: str
    items: tuple[Item, ...]
    first_ms: float
    warm_ms: float
    limits: str
    misfits: tuple[str, ...] = ()
    loading: float = 0.0

    @property
    def cost(self) -> float:
        """Of a month."""
        return billing.total(list(self.items))


def plan(work: Workload, prices: Prices) -> list[StorePlan]:
    """Return every store for a workload, the recommended one first.

    Those that fit come first, and of these the cheapest; a session comes before all others where
    its queries come in thousands in a row.
    """
    stores = [_file(work, prices), _s3vectors(work, prices), _session(work, prices)]
    in_a_row = work.sessions > 0 and work.queries / work.sessions >= SESSION_QUERIES
    return sorted(
        stores,
        key=lambda one: (bool(one.misfits), not (in_a_row and one.store == "session"), one.cost),
    )


def reason(work: Workload, plans: list[StorePlan]) -> str:
    """Say in one sentence why the first store of a plan is the recommended one."""
    best = plans[0]
    if best.misfits:
        return "no store fits all of it: split the collection, or allow more milliseconds"
    if best.store == "session" and work.sessions and work.queries / work.sessions > SESSION_QUERIES:
        return f"{work.queries / work.sessions:,.0f} queries in a row are answered from memory"
    others = [one.store for one in plans if not one.misfits]
    return "the only one that fits" if len(others) == 1 else "the cheapest that fits"


def _file(work: Workload, prices: Prices) -> StorePlan:
    size = work.vectors * work.dimensions * 2
    known = times()
    share = work.vectors * work.dimensions / known.numbers
    first, warm = known.first["file"] * max(1.0, share), known.warm["file"] * max(0.05, share)
    stored = size + 2 * work.vectors * work.record_bytes
    starts = min(work.queries, work.sessions or work.queries / QUERIES_A_START)
    seconds = (work.queries * warm + starts * first) / 1000
    misfits = []
    if size > FILE_BYTES:
        misfits.append(f"{size / 1e9:.1f} GB of vectors are more than a function searches (1 GiB)")
    if work.latency is not None and warm > work.latency:
        misfits.append(f"a query takes {warm:,.0f} ms")
    return StorePlan(
        "file",
        (
            billing.item(prices, "s3-storage-gb-month", "exports", stored / billing.GB),
            billing.item(prices, "s3-get-1000", "functions", starts * (5 + size / PART) / 1000),
            billing.item(prices, "lambda-arm-gb-second", "functions", seconds * FUNCTION_GB),
            billing.item(prices, "lambda-request-1000", "functions", work.queries / 1000),
        ),
        first,
        warm,
        "1 GiB of float16 vectors in a collection, in the function's memory; new records after a "
        "compaction",
        tuple(misfits),
    )


def _s3vectors(work: Workload, prices: Prices) -> StorePlan:
    vector = 4 * work.dimensions + work.record_bytes
    stored = work.vectors * vector
    processed, counted = {}, 0
    for key, most in TIERS:
        processed[key] = max(0, min(work.vectors, most) - counted) * vector * work.queries
        counted = most
    seconds = work.queries * times().warm["s3vectors"] / 1000
    misfits = []
    if work.space == "ip":
        misfits.append("it has no inner product")
    if work.top > S3VECTORS_RESULTS:
        misfits.append(f"it answers with {S3VECTORS_RESULTS:,} records, not {work.top:,}")
    if work.dimensions > S3VECTORS_DIMENSION:
        misfits.append(f"it takes {S3VECTORS_DIMENSION} dimensions")
    if work.vectors > TIERS[-1][1]:
        misfits.append("an index holds 2 billion vectors")
    if work.latency is not None and work.latency < times().warm["s3vectors"]:
        misfits.append(f"a query takes {times().warm['s3vectors']:,.0f} ms or more")
    return StorePlan(
        "s3vectors",
        (
            billing.item(prices, "s3vectors-storage-gb-month", "index", stored / GB),
            billing.item(prices, "s3vectors-query-1000", "index", work.queries / 1000),
            *(
                billing.item(prices, key, "index", quantity / TB)
                for key, quantity in processed.items()
                if quantity
            ),
            billing.item(
                prices, "lambda-arm-gb-second", "functions", seconds * billing.FUNCTION_GB
            ),
            billing.item(prices, "lambda-request-1000", "functions", work.queries / 1000),
        ),
        times().first["s3vectors"],
        times().warm["s3vectors"],
        f"cosine and l2, {S3VECTORS_RESULTS:,} records in an answer, {S3VECTORS_DIMENSION:,}"
        " dimensions, 2 KB of metadata; about 90 % recall",
        tuple(misfits),
        stored / GB * prices.table["s3vectors-put-gb"],
    )


def _session(work: Workload, prices: Prices) -> StorePlan:
    count = work.sessions or work.queries
    memory = max(SESSION_GB, work.vectors * INDEX_BYTES * work.dimensions / 384 / 1e9 * 1.5)
    asked = work.queries / max(count, 1) * times().warm["session"] / 1000
    busy = max(billing.MINIMUM_SECONDS, asked)
    one = billing.Use(
        transitions=SESSION_TRANSITIONS,
        task_seconds=busy,
        vcpu=SESSION_VCPU,
        gb=memory,
        invocations=2,
        function_seconds=asked,
    )
    used = billing.SessionUsage(
        count,
        count * one.transitions,
        count * one.vcpu * busy / 3600,
        count * one.gb * busy / 3600,
        count * one.invocations,
        count * one.function_seconds * billing.FUNCTION_GB,
    )
    # Chroma's files: float32 vectors with their links, and the records twice in SQLite.
    stored = work.vectors * (5 * work.dimensions + 2 * work.record_bytes)
    misfits = []
    if memory > 120:
        misfits.append(f"its index takes {memory:,.0f} GB of memory, a task has 120")
    if not work.sessions and work.latency is not None and work.latency < times().first["session"]:
        misfits.append("queries that come one at a time would each wait for a task")
    if work.latency is not None and work.latency < times().warm["session"]:
        misfits.append(f"a query takes {times().warm['session']:,.0f} ms")
    return StorePlan(
        "session",
        (
            billing.item(prices, "s3-storage-gb-month", "snapshots", stored / billing.GB),
            *(billing.item(prices, *line) for line in billing.session_lines(used)),
        ),
        times().first["session"],
        times().warm["session"],
        "one at a time for a database, a VPC and a task; Chroma's whole API, inner product, any "
        "number of records",
        tuple(misfits),
    )


def elsewhere(use: Use, queries: int, prices: Prices) -> str | None:
    """Say what the queries of a session cost without one; None if it had too many for that.

    Args:
        use: What the session used.
        queries: How many items it ran.
        prices: The price list.
    """
    if not queries or queries >= SESSION_QUERIES:
        return None
    mine = billing.total(billing.session_items(use, prices))
    work = Workload(vectors=100_000, dimensions=384, queries=queries)
    index = sum(
        one.cost
        for one in _s3vectors(work, prices).items
        if one.key != "s3vectors-storage-gb-month"
    )
    file = sum(one.cost for one in _file(work, prices).items if one.key != "s3-storage-gb-month")
    if min(index, file) >= mine:
        return None
    return (
        f"{queries} queries of 100,000 vectors without a session: {index:.6f} {prices.currency} in "
        f"S3 Vectors, {file:.6f} from a file (`layersmith vectors plan`)"
    )

"""Quantities and prices -> what it costs, and whether that passes a threshold. Pure but for files.

Prices are data with a date and their sources (prices.json); any of them can be overridden.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layersmith.base import damage
from layersmith.errors import ConfigError

PRICES = Path(__file__).with_name("prices.json")

GB = 1_000_000_000
"""Bytes of the gigabyte that S3 bills by (AWS: GB-Month in decimal on the bill)."""

CODE_QUOTA = 300 * 1024**3
"""Bytes of functions and layers that a region stores, 300 GB (AWS Lambda developer guide,
configuration-self-managed-storage); the account's own limit is read where GetAccountSettings
answers."""


@dataclass(frozen=True)
class Prices:
    """A price list.

    Attributes:
        date: Day on which the prices were read, ISO 8601.
        currency: Such as USD.
        table: Key -> price of one unit; the key names the unit.
        overridden: Keys whose price is not the list's own.
    """

    date: str
    currency: str
    table: dict[str, float]
    overridden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Item:
    """One line of the bill.

    Attributes:
        key: Key of the price, ``s3-storage-gb-month``.
        place: Region, runner or state machine.
        quantity: In the unit of the key.
        cost: In the currency of the prices, for a month.
    """

    key: str
    place: str
    quantity: float
    cost: float


def load(override: Path | None = None) -> Prices:
    """Read the price list, with single prices replaced by those of another file.

    Args:
        override: JSON of the same form, or only ``{"key": price}``.

    Raises:
        ConfigError: It cannot be read, or names a price that is not known.
    """
    own = json.loads(PRICES.read_text(encoding="utf-8"))
    table = {key: float(entry["price"]) for key, entry in own["prices"].items()}
    if override is None:
        return Prices(own["date"], own["currency"], table)
    given = _given(override)
    unknown = sorted(set(given) - set(table))
    if unknown:
        raise ConfigError(
            f"{override} has unknown prices: {', '.join(unknown)}",
            hint=f"known: {', '.join(sorted(table))}",
        )
    return Prices(own["date"], own["currency"], table | given, tuple(sorted(given)))


def _given(path: Path) -> dict[str, float]:
    with damage.told(path.name, ConfigError, kind="price list"):
        document = json.loads(path.read_text(encoding="utf-8"))
        entries: dict[str, Any] = document.get("prices", document)
        return {
            key: float(entry["price"] if isinstance(entry, dict) else entry)
            for key, entry in entries.items()
        }


def item(prices: Prices, key: str, place: str, quantity: float) -> Item:
    """Return one line of the bill."""
    return Item(key, place, quantity, quantity * prices.table[key])


def total(items: list[Item]) -> float:
    """Return the sum of a bill, in the currency of the prices."""
    return sum(one.cost for one in items)


@dataclass(frozen=True)
class Thresholds:
    """Where a run warns or fails; None sets none.

    Attributes:
        warn: Money a month.
        fail: Money a month.
        quota_warn: Share of a region's code storage quota, 0 to 1.
        quota_fail: The same.
    """

    warn: float | None = None
    fail: float | None = None
    quota_warn: float = 0.7
    quota_fail: float = 0.95


@dataclass(frozen=True)
class Alarm:
    """A threshold that is passed.

    Attributes:
        fails: Whether the run fails; otherwise it warns.
        text: What passed which threshold.
    """

    fails: bool
    text: str


def alarms(money: float, stored: dict[str, float], limits: Thresholds, unit: str) -> list[Alarm]:
    """Return the thresholds that are passed.

    Args:
        money: The month's total.
        stored: Region -> share of its code storage quota that is used.
        limits: The thresholds.
        unit: The currency.
    """
    found: list[Alarm] = []
    if limits.fail is not None and money > limits.fail:
        found.append(Alarm(True, f"{money:.2f} {unit} per month is over {limits.fail:.2f}"))
    elif limits.warn is not None and money > limits.warn:
        found.append(Alarm(False, f"{money:.2f} {unit} per month is over {limits.warn:.2f}"))
    for region, share in sorted(stored.items()):
        fails = share > limits.quota_fail
        if fails or share > limits.quota_warn:
            limit = limits.quota_fail if fails else limits.quota_warn
            text = f"{region}: {share:.0%} of the code storage quota is used, over {limit:.0%}"
            found.append(Alarm(fails, text))
    return found

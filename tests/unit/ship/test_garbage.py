from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from layersmith.ship import gc
from layersmith.ship.publish.models import Held

from tests.unit.ship.makers import foreign, release

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def kept(held: Held, users: dict[str, list[str]] | None = None, **rule: Any) -> dict[int, str]:
    said: dict[str, Any] = {"keep": 1, "days": 0, "now": NOW} | rule
    case = gc.Case(held, "9.9.9", users or {}, gc.KeepRule(**said))
    return {version.number: why for version, why in case.judge()}


def test_the_last_number_stays_visible() -> None:
    held = Held((release(1, "2.0.0"), release(2, "1.0.0")))
    assert kept(held) == {
        1: "one of the newest 1",
        2: "kept: the highest version number must stay visible",
    }


def test_versions_that_layersmith_did_not_publish_are_not_its_business() -> None:
    assert kept(Held((foreign(1), release(2)))).keys() == {2}


def test_age_is_counted_in_days() -> None:
    held = Held((release(1, "1.0.0"), release(2, "2.0.0"), foreign(3)))
    made = datetime(2026, 1, 1, tzinfo=UTC)
    assert "only 9 days" in kept(held, days=10, now=made + timedelta(days=9, hours=23))[1]
    assert kept(held, days=10, now=made + timedelta(days=10))[1] == ""

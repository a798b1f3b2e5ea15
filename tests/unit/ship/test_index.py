from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from layersmith.errors import ShipError
from layersmith.ship import arns

from tests.unit.ship.makers import arn, pointers

if TYPE_CHECKING:
    from layersmith.ship.publish.models import Pointers


def seen(at: Pointers, region: str = "eu-west-1") -> arns.ObservedPointers:
    return arns.ObservedPointers("alpha", "python3.13", "arm64", region, at)


def entry(**changes: Any) -> arns.IndexEntry:
    said = {
        "layer": "alpha",
        "version": "1.0.0",
        "runtime": "python3.13",
        "architecture": "arm64",
        "region": "eu-west-1",
        "arn": arn(1),
    }
    return arns.IndexEntry(**(said | changes))


def test_a_region_that_was_not_read_keeps_its_arns() -> None:
    old = arns.Index(layers=[entry(), entry(region="us-east-1"), entry(layer="beta")])
    merged = arns.merge(old, [seen(pointers("1.1.0", v1_1_0=2))])
    assert {(e.layer, e.region, e.version, e.latest) for e in merged.layers} == {
        ("alpha", "eu-west-1", "1.1.0", True),
        ("alpha", "us-east-1", "1.0.0", False),
        ("beta", "eu-west-1", "1.0.0", False),
    }
    assert arns.parse(merged.to_json()) == merged
    with pytest.raises(ShipError, match="index cannot be read"):
        arns.parse('{"format": 2}')


def test_the_page_escapes_what_people_wrote() -> None:
    page = arns.html([entry(yanked='<script>"$rows"</script>')])
    assert "<script>&#34;" not in page
    assert "&lt;script&gt;&#34;$rows&#34;" in page
    assert page.count("<tr>") == 2

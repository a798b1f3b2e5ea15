"""What is looked at before a publish: room for zips, and the role of the canary."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.base.runtimes import UNZIPPED_LIMIT
from layersmith.errors import ShipError
from layersmith.ship.publish import apply, canary, plan
from layersmith.ship.publish.apply import ROLE_HINT
from layersmith.ship.publish.plan import PlanOptions
from layersmith.ship.publish.site import Site

from tests.unit.ship.fakes import FakeAws, refusal
from tests.unit.ship.makers import release, state, want

if TYPE_CHECKING:
    from layersmith.ship.publish.models import RegionState

EU, US = "eu-west-1", "us-east-1"
ROLE = {
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}],
}


def account(room: int = 10_000, role: Any = None) -> FakeAws:
    sizes = {"AccountLimit": {"TotalCodeSize": room}, "AccountUsage": {"TotalCodeSize": 0}}
    found = role or {"Role": {"AssumeRolePolicyDocument": ROLE}}
    return FakeAws(get_account_settings=[sizes], get_role=[found])


def unready(
    aws: FakeAws, *states: RegionState, options: PlanOptions | None = None
) -> tuple[list[tuple[str, str, str]], FakeAws]:
    double: Any = aws
    site = Site(aws=dict.fromkeys((EU, US), double), home=EU, workers=1)
    found = {one.region: one for one in states}
    wanted = [want(), want(identifier="beta-python3.13-arm64", layer="beta", size=3000)]
    made = plan.plan(wanted, found, options or PlanOptions())
    refused, unread = apply.unready(site, wanted, made)
    assert unread == []
    return [(one.region, one.reason, one.hint) for one in refused], aws


def test_room_is_asked_for_what_is_to_be_published_there() -> None:
    # alpha is in eu-west-1 already, so that 3,000 bytes are needed there and 4,000 in us-east-1.
    regions = state(EU, release(1)), state(US)
    assert unready(account(4_000), *regions)[0] == []
    refused, _ = unready(account(3_999), *regions)
    assert [(region, "code storage has room for" in what) for region, what, _ in refused] == [
        (US, True)
    ]
    assert refused[0][2].startswith("remove old versions with `gc`")


def test_the_role_is_read_once_an_account_and_only_where_a_canary_starts() -> None:
    missing = account(role=refusal("NoSuchEntity"))
    refused, aws = unready(missing, state(EU), state(US))
    assert [(region, hint) for region, _, hint in refused] == [(EU, ROLE_HINT), (US, ROLE_HINT)]
    assert aws.names().count("get_role") == 1
    refused, aws = unready(missing, state(EU), state(US), options=PlanOptions(canary=False))
    assert refused == []
    assert aws.names().count("get_role") == 1  # of the run before


def test_where_nothing_is_to_be_done_nothing_is_asked() -> None:
    aws = account()
    double: Any = aws
    site = Site(aws={EU: double}, home=EU, workers=1)
    assert apply.unready(site, [], plan.plan([], {EU: state(EU)}, PlanOptions())) == ([], [])
    assert aws.calls == []


def test_a_full_layer_leaves_room_for_its_canary_to_the_byte() -> None:
    code = UNZIPPED_LIMIT - _canary_code()
    canary.refuse_full([want(unzipped=code)])
    with pytest.raises(ShipError, match=r"leaves [\d,]+ bytes .* its canary needs"):
        canary.refuse_full([want(unzipped=code), want(unzipped=code + 1)])


def _canary_code() -> int:
    archive = zipfile.ZipFile(io.BytesIO(canary.function_zip(None)))
    return sum(len(archive.read(one)) for one in archive.namelist())

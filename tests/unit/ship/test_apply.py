"""An apply over regions, against moto's own services in this process; nothing is connected to."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.base import zips
from layersmith.errors import ShipError
from layersmith.ship.aws import buckets
from layersmith.ship.aws.accounts import Aws
from layersmith.ship.aws.failures import AwsFailure, Kind
from layersmith.ship.publish import apply, canary, lease, observed, plan, uploads
from layersmith.ship.publish.canary import CanaryVerdict
from layersmith.ship.publish.models import Grant, Step
from layersmith.ship.publish.plan import PlanOptions
from layersmith.ship.publish.site import Site
from moto import mock_aws
from vector_common.storage import s3

from tests.unit.ship import makers
from tests.unit.ship.fakes import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layersmith.ship.publish.apply import RegionOutcome
    from layersmith.ship.publish.models import Desired

REGIONS = ("eu-west-1", "us-east-1", "ap-south-1")
NAME = "alpha-python3-13-arm64"


class Account:
    """An account in memory, and applies to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.aws = Aws()
        self.canaries: list[str] = []
        self.broken: set[str] = set()
        self.denied: set[str] = set()
        self.said: list[tuple[str, str, str]] = []

    def want(self, **changes: Any) -> Desired:
        semver = changes.get("version", "1.2.0")
        path = self.folder / f"alpha-{semver}-python3.13-arm64.zip"
        path.write_bytes(zips.pack({"python/alpha.py": semver.encode()}))
        digest = base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()
        size = path.stat().st_size
        settled = {"zip_path": path, "sha256": digest, "size": size, "regions": REGIONS}
        return makers.want(**(settled | changes))

    def site(self, **changes: Any) -> Site:
        settled: dict[str, Any] = {"aws": dict.fromkeys(REGIONS, self.aws), "home": REGIONS[0]}
        return Site(**(settled | {"lock_wait": 0.0} | changes))

    def apply(
        self, *desired: Desired, options: PlanOptions | None = None, **site: Any
    ) -> RegionOutcome:
        where, chosen = self.site(**site), options or PlanOptions()
        states, _ = observed.read_all(where.aws, where.stack, desired, workers=2)
        made = plan.plan(desired, states, chosen)
        publisher = apply.Publisher(where, chosen, states, lambda *one: self.said.append(one))
        return publisher.run(desired, made)

    def steps(self, *desired: Desired) -> int:
        """Return how many steps a plan would have now."""
        where = self.site()
        states, _ = observed.read_all(where.aws, where.stack, desired, workers=2)
        return len(plan.plan(desired, states, PlanOptions()).actions)

    def numbers(self, region: str) -> list[int]:
        answer = self.aws.lambda_(region).list_layer_versions(LayerName=NAME)
        return sorted(int(one["Version"]) for one in answer["LayerVersions"])

    def latest(self, region: str) -> str | None:
        return observed.read_target(self.aws, region, self.want(), "bucket").pointers.latest


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    made = Account(tmp_path)

    def proven(aws: Aws, region: str, want: Desired, arn: str, *, role: str) -> CanaryVerdict:
        made.canaries.append(region)
        return CanaryVerdict(region not in made.broken, "no module named alpha")

    ensured = buckets.ensure

    def ensure(aws: Aws, stack: str, region: str) -> str:
        if region in made.denied:
            raise AwsFailure(Kind.DENIED, f"{region}: denied", region=region, action=None)
        name: str = ensured(aws, stack, region)
        # moto judges the policy without its conditions, and would refuse everything.
        aws.s3(region).delete_bucket_policy(Bucket=name)
        return name

    # moto's answers have a Date only where they go through its server.
    monkeypatch.setattr(s3, "_date", lambda *_: datetime.now(UTC))
    monkeypatch.setattr(canary, "prove", proven)
    monkeypatch.setattr(buckets, "ensure", ensure)
    with mock_aws():
        # moto compiles a service's routes at its first call, which Python 3.11 does not survive
        # in two threads at once ("AST constructor recursion depth mismatch").
        made.numbers(REGIONS[0])
        made.aws.s3(REGIONS[0]).list_buckets()
        yield made


def test_the_pilot_comes_first_and_the_others_follow(account: Account) -> None:
    want = account.want()
    outcome = account.apply(want)
    assert outcome.findings == []
    assert outcome.quarantined == []
    assert outcome.touched == set(REGIONS)
    assert account.canaries[0] == "eu-west-1"
    assert sorted(account.canaries) == sorted(REGIONS)
    for region in REGIONS:
        assert account.numbers(region) == [1]
        assert account.latest(region) == (f"arn:aws:lambda:{region}:123456789012:layer:{NAME}:1")
    assert account.steps(want) == 0
    kept = [one for one in outcome.done if one.step is Step.KEEP]
    assert [one.region for one in kept] == ["eu-west-1"]


def test_a_canary_that_fails_with_the_pilot_leaves_the_others_alone(account: Account) -> None:
    account.broken = {"eu-west-1"}
    outcome = account.apply(account.want())
    assert account.canaries == ["eu-west-1"]
    assert [one.region for one in outcome.findings] == ["eu-west-1"]
    assert "the canary failed: no module named alpha" in str(outcome.findings[0])
    assert account.latest("eu-west-1") is None
    assert account.numbers("us-east-1") == []


def test_a_canary_that_fails_later_stops_its_region_only(account: Account) -> None:
    account.broken = {"us-east-1"}
    outcome = account.apply(account.want())
    assert [one.region for one in outcome.findings] == ["us-east-1"]
    assert account.latest("us-east-1") is None
    assert account.latest("ap-south-1") is not None


def test_where_the_pilot_region_is_out_the_next_one_is_the_pilot(account: Account) -> None:
    account.denied = {"eu-west-1"}
    outcome = account.apply(account.want())
    assert [one.region for one in outcome.quarantined] == ["eu-west-1"]
    assert account.canaries[0] == "us-east-1"
    assert ("eu-west-1", "alpha-python3.13-arm64", "left out") in account.said
    assert account.latest("ap-south-1") is not None


def test_one_number_everywhere_and_no_filling_left(account: Account) -> None:
    client = account.aws.lambda_("us-east-1")
    for _ in range(3):
        uploads.placeholder(account.aws, "us-east-1", account.want())
    assert len(client.list_layer_versions(LayerName=NAME)["LayerVersions"]) == 3
    outcome = account.apply(account.want(align=True))
    assert outcome.findings == []
    arns = {str(account.latest(region)).rpartition(":")[2] for region in REGIONS}
    assert arns == {"4"}
    assert account.numbers("eu-west-1") == [4]


def test_without_canary_and_promotion_only_the_version_is_there(account: Account) -> None:
    outcome = account.apply(account.want(), options=PlanOptions(canary=False, promote=False))
    assert account.canaries == []
    assert {one.step for one in outcome.done} >= {Step.PUBLISH, Step.POINT}
    assert account.latest("eu-west-1") is None


def test_a_statement_that_says_something_else_is_replaced(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = account.want(regions=REGIONS[:1])
    account.apply(want, options=PlanOptions(canary=False))
    grant = Grant("public")
    client = account.aws.lambda_("eu-west-1")
    answer = client.get_layer_version_policy(LayerName=NAME, VersionNumber=1)
    assert grant.sid in answer["Policy"]
    client.remove_layer_version_permission(LayerName=NAME, VersionNumber=1, StatementId=grant.sid)
    client.add_layer_version_permission(
        LayerName=NAME, VersionNumber=1, **grant.arguments | {"Principal": "210987654321"}
    )
    assert account.steps(want) == 1
    add, refusals = client.add_layer_version_permission, [refusal("ResourceConflictException")]

    def conflicting(**said: Any) -> Any:
        if refusals:  # moto takes a second statement of a name
            raise refusals.pop()
        return add(**said)

    monkeypatch.setattr(client, "add_layer_version_permission", conflicting)
    outcome = account.apply(want)
    assert [one.step for one in outcome.done] == [Step.GRANT]
    assert account.steps(want) == 0


def test_other_bytes_under_a_published_version_block_it_everywhere(account: Account) -> None:
    account.apply(account.want(), options=PlanOptions(canary=False))
    changed = account.want()
    changed.zip_path.write_bytes(b"PK\x05\x06" + b"\0" * 18)
    digest = base64.b64encode(hashlib.sha256(changed.zip_path.read_bytes()).digest()).decode()
    outcome = account.apply(account.want(sha256=digest))
    assert {one.region for one in outcome.findings} == set(REGIONS)
    assert all(one.blocking for one in outcome.findings)
    assert outcome.done == []


def test_a_large_zip_goes_through_the_bucket(account: Account) -> None:
    want = account.want(regions=REGIONS[:1])
    outcome = account.apply(want, direct_limit=1)
    assert outcome.findings == []
    bucket = f"layersmith-123456789012-{REGIONS[0]}"
    listed = account.aws.s3(REGIONS[0]).list_objects_v2(Bucket=bucket)["Contents"]
    keys = [str(one.get("Key")) for one in listed]
    assert want.artifact_key in keys
    assert not any(key.startswith("staging/") for key in keys)
    assert account.numbers(REGIONS[0]) == [1]


def test_a_region_in_which_another_run_works_is_left_to_it(account: Account) -> None:
    where = account.site()
    bucket = buckets.ensure(account.aws, where.stack, "eu-west-1")
    other = lease.Owner(host="elsewhere")
    with lease.held(account.aws, "eu-west-1", bucket, wait=0, owner=other) as held:
        held.check()
        outcome = account.apply(account.want(regions=REGIONS[:1]))
        assert [one.region for one in outcome.quarantined] == ["eu-west-1"]
        assert "on elsewhere is publishing here" in outcome.quarantined[0].reason
    assert account.apply(account.want(regions=REGIONS[:1])).quarantined == []


def test_credentials_that_end_end_the_run(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AwsFailure(Kind.CREDENTIALS, "expired", region="eu-west-1", action=None)

    monkeypatch.setattr(uploads, "publish", refuse)
    with pytest.raises(AwsFailure, match="expired") as caught:
        account.apply(account.want())
    assert caught.value.target is None


def test_a_run_that_was_ended_does_no_further_step(account: Account) -> None:
    where, want = account.site(), account.want(regions=REGIONS[:1])
    states, _ = observed.read_all(where.aws, where.stack, [want], workers=1)
    publisher = apply.Publisher(where, PlanOptions(), states, lambda *_: None)
    publisher.abort.set()
    with pytest.raises(ShipError, match="the run was ended"):
        apply.RegionUpdate(publisher, "eu-west-1", want, "bucket", lambda: None).apply()

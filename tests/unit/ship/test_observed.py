"""What an account holds, read from scripted answers."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from layersmith.ship.aws import labels
from layersmith.ship.aws.failures import AwsFailure, Kind
from layersmith.ship.publish import observed
from layersmith.ship.publish.models import Grant
from layersmith.ship.signing import SignedZip, Signer

from tests.unit.ship.fakes import FakeAws, refusal
from tests.unit.ship.makers import SHA, arn, release, want

EU = "eu-west-1"


def listed(number: int, description: str = "by hand") -> dict[str, Any]:
    return {"Version": number, "LayerVersionArn": arn(number), "Description": description}


class Refusing:
    """Pages that are refused when the first is asked for, as boto3's are."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __iter__(self) -> Any:
        raise refusal(self.code)


def statement(sid: str, principal: Any, **condition: str) -> dict[str, Any]:
    more = {"Condition": {"StringEquals": condition}} if condition else {}
    return {"Sid": sid, "Principal": principal, **more}


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        (statement("layersmith-public", "*"), True),
        (statement("layersmith-public", {"AWS": "*"}), True),
        (statement("layersmith-public", "210987654321"), False),
        (statement("layersmith-public", "*", **{"aws:PrincipalOrgID": "o-abcdefghij"}), False),
        (statement("layersmith-o-abcdefghij", "*", **{"aws:PrincipalOrgID": "o-abcdefghij"}), True),
        (statement("layersmith-o-abcdefghij", "*", **{"aws:PrincipalOrgID": "o-other"}), False),
        (statement("layersmith-o-abcdefghij", "*"), False),
        (statement("layersmith-210987654321", {"AWS": "arn:aws:iam::210987654321:root"}), True),
        (statement("layersmith-210987654321", {"AWS": "arn:aws:iam::123456789012:root"}), False),
        (statement("somebody", "*"), False),
    ],
)
def test_a_statement_is_ours_only_while_it_says_what_its_id_says(
    said: dict[str, Any], ours: bool
) -> None:
    policy = {"Policy": json.dumps({"Statement": [said]})}
    client: Any = FakeAws(get_layer_version_policy=[policy])
    grants, foreign = observed.read_grants(client, "alpha", 1)
    sid = said["Sid"]
    assert grants == ({Grant(sid.removeprefix("layersmith-"))} if ours else set())
    assert foreign == (() if ours else (sid,))


def test_a_version_without_a_policy_is_granted_to_nobody() -> None:
    client: Any = FakeAws(get_layer_version_policy=[refusal("ResourceNotFoundException")])
    assert observed.read_grants(client, "alpha", 1) == (frozenset(), ())


def test_versions_of_all_pages_come_lowest_first_and_only_the_release_in_detail() -> None:
    pages = [
        {"LayerVersions": [listed(3, release(3).description)]},
        {"LayerVersions": [listed(1), listed(2, release(2, "1.1.0").description)]},
    ]
    aws: Any = FakeAws(
        list_layer_versions=[pages],
        get_layer_version=[{"Content": {"CodeSha256": SHA, "CodeSize": 1000}}],
        get_layer_version_policy=[refusal("ResourceNotFoundException")],
        get_parameters_by_path=[[]],
    )
    held = observed.read_target(aws, EU, want(), "bucket")
    assert [(v.number, v.semver, v.sha256) for v in held.versions] == [
        (1, None, None),
        (2, "1.1.0", None),
        (3, "1.2.0", SHA),
    ]
    assert [one["VersionNumber"] for one in aws.asked("get_layer_version")] == [3]
    assert (held.top, held.release("1.2.0", SHA)) == (3, held.versions[2])


def test_what_was_never_made_is_empty_and_a_refusal_is_told() -> None:
    none: Any = FakeAws(
        list_layer_versions=[Refusing("ResourceNotFoundException")],
        list_objects_v2=[Refusing("NoSuchBucket")],
    )
    assert observed.list_versions(none, "alpha") == []
    assert observed.read_bucket(none, EU, "bucket") == (False, frozenset())
    put = {"Size": 1, "LastModified": datetime(2026, 1, 1, tzinfo=UTC)}
    keys: list[list[str]] = [["artifacts/a.zip"], [], ["b"]]
    pages = [
        {"KeyCount": len(page), "Contents": [{"Key": key, **put} for key in page]} for page in keys
    ]
    some: Any = FakeAws(list_objects_v2=[pages])
    assert observed.read_bucket(some, EU, "bucket") == (True, frozenset({"artifacts/a.zip", "b"}))
    refused: Any = FakeAws(list_objects_v2=[Refusing("AccessDenied")])
    with pytest.raises(AwsFailure):
        observed.read_bucket(refused, EU, "bucket")


def test_a_region_that_fails_is_left_out_and_expired_credentials_end_the_run() -> None:
    def work(region: str) -> str:
        if region != "good":
            raise AwsFailure(kinds[region], f"{region} failed", region=region, action=None)
        return region.upper()

    kinds = {"down": Kind.DOWN, "expired": Kind.CREDENTIALS}
    done, failed = observed.in_parallel(work, ["down", "good"], workers=0)
    assert (done, [one.region for one in failed]) == ({"good": "GOOD"}, ["down"])
    abort = threading.Event()
    with pytest.raises(AwsFailure):
        observed.in_parallel(work, ["expired", "good"], workers=1, abort=abort)
    assert abort.is_set()


def test_artifacts_are_grouped_by_region_in_their_order() -> None:
    one, other = want(), want(identifier="other", regions=("us-east-1",))
    found = observed.by_region([one, other])
    assert list(found.items()) == [(EU, [one]), ("us-east-1", [one, other])]


def test_regions_whose_numbers_count_belong_to_an_artifact_where_they_are_asked_for() -> None:
    one = want(regions=(EU,), counted=("us-east-1",))
    assert list(observed.by_region([one])) == [EU]
    assert list(observed.by_region([one], counted=True)) == [EU, "us-east-1"]


def test_a_placeholder_is_known_by_its_description() -> None:
    aws: Any = FakeAws(
        list_layer_versions=[[{"LayerVersions": [listed(2), listed(1, labels.PLACEHOLDER)]}]]
    )
    assert [one.placeholder for one in observed.list_versions(aws, "alpha")] == [True, False]


@pytest.mark.parametrize(
    ("signed", "expected"), [(None, "other"), (SignedZip("signed/a.zip", "other"), SHA)]
)
def test_a_signed_zip_has_the_digest_of_the_built_one(
    signed: Any, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unsigned zip of the same bytes is not taken for it, nor a version that was not read."""
    pages = [{"LayerVersions": [listed(n, release(n).description) for n in (1, 2)] + [listed(3)]}]
    aws: Any = FakeAws(
        list_layer_versions=[pages],
        get_layer_version=[
            {"Content": {"CodeSha256": "other", "CodeSize": 1}},
            {"Content": {"CodeSha256": SHA, "CodeSize": 1}},
        ],
        get_layer_version_policy=[refusal("ResourceNotFoundException")],
        get_parameters_by_path=[[]],
    )
    monkeypatch.setattr(Signer, "find", lambda *_: signed)
    held = observed.read_target(aws, EU, want(signing="profile"), "bucket")
    assert [one.sha256 for one in held.versions] == [expected, f"{SHA} (unsigned)", None]


def test_signer_is_not_asked_where_there_is_nothing_to_compare(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Signer, "find", lambda _, digest: asked.append(digest))
    aws: Any = FakeAws(
        list_layer_versions=[[{"LayerVersions": [listed(1)]}]], get_parameters_by_path=[[]]
    )
    observed.read_target(aws, EU, want(signing="profile"), "bucket")
    assert asked == []

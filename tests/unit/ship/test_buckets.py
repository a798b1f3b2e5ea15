from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layersmith.errors import ConfigError
from layersmith.ship.aws import buckets, regions

ACCOUNTS = st.from_regex(r"[0-9]{12}", fullmatch=True)
STACKS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?", fullmatch=True)
REGIONS = st.sampled_from([r for p in regions.PARTITIONS for r in regions.of_partition(p)])
TRIPLES = st.tuples(STACKS, ACCOUNTS, REGIONS)
# S3's rules for names: 3 to 63 characters, letters, digits and hyphens here, no hyphen at an end.
VALID = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


def test_a_short_name_says_what_it_is() -> None:
    name = buckets.artifact_bucket("layersmith", "123456789012", "eu-west-1")
    assert name == "layersmith-123456789012-eu-west-1"


def test_a_long_name_is_cut_and_ends_in_the_digest_of_the_whole() -> None:
    stack = "a-very-long-name-of-an-installation-of-layersmith"
    name = buckets.artifact_bucket(stack, "123456789012", "ap-southeast-4")
    # printf '%s-123456789012-ap-southeast-4' $stack | md5sum
    assert name == "a-very-long-name-of-an-install-4d0d1ba8306baaae68cfc877865c3905"
    assert len(name) <= 63


@given(TRIPLES)
def test_every_name_is_valid_and_stays_the_same(triple: tuple[str, str, str]) -> None:
    name = buckets.artifact_bucket(*triple)
    assert VALID.fullmatch(name)
    assert len(name) <= buckets.NAME_LIMIT
    assert name == buckets.artifact_bucket(*triple)


@given(st.lists(TRIPLES, min_size=2, max_size=20, unique=True))
def test_different_places_have_different_names(triples: list[tuple[str, str, str]]) -> None:
    assert len({buckets.artifact_bucket(*triple) for triple in triples}) == len(triples)


def test_names_that_are_cut_at_the_same_place_differ() -> None:
    stem = "x" * 58
    names = {
        buckets.artifact_bucket(f"{stem}{suffix}", "123456789012", region)
        for suffix in ("a", "b", "ab", "ba")
        for region in regions.of_partition("aws")
    }
    assert len(names) == 4 * 34


@pytest.mark.parametrize("stack", ["", "Upper", "-a", "a-", "a.b", "a_b"])
def test_a_stack_that_cannot_name_a_bucket_is_refused(stack: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a stack"):
        buckets.artifact_bucket(stack, "123456789012", "eu-west-1")


def test_an_account_has_12_digits() -> None:
    with pytest.raises(ConfigError, match="12 digits"):
        buckets.artifact_bucket("layersmith", "12345", "eu-west-1")


def test_the_policy_refuses_what_is_not_tls_in_every_partition() -> None:
    policy = buckets.tls_only("a-bucket", "cn-north-1")
    (statement,) = policy["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == ["arn:aws-cn:s3:::a-bucket", "arn:aws-cn:s3:::a-bucket/*"]
    json.dumps(policy)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layersmith.base import versions
from layersmith.errors import ConfigError
from layersmith.ship.aws import labels

DIGEST = "0123456789abcdef" * 4
NUMBER = r"(0|[1-9][0-9]{0,3})"
VERSIONS = st.from_regex(rf"{NUMBER}\.{NUMBER}\.{NUMBER}(-rc\.[1-9])?", fullmatch=True)


@given(st.text(max_size=400), VERSIONS)
def test_what_is_written_can_be_read(text: str, version: str) -> None:
    description = labels.describe(text, version, DIGEST)
    assert len(description) <= labels.DESCRIPTION_LIMIT
    assert labels.parse(description) == labels.Label(version, DIGEST[:12])


@pytest.mark.parametrize(
    "description",
    [
        "",
        "published by hand",
        labels.PLACEHOLDER,
        "[layersmith 1.0 sha256:0123456789ab]",
        "[layersmith 1.0.0 sha256:0123456789ab] and more",
        "[layersmith 01.0.0 sha256:0123456789ab]",
    ],
)
def test_what_others_wrote_is_not_a_label(description: str) -> None:
    assert labels.parse(description) is None


def test_names_hold_what_aws_allows() -> None:
    assert labels.layer_name("a-b", "python3.13", "x86_64") == "a-b-python3-13-x86_64"
    with pytest.raises(ConfigError, match="140 characters"):
        labels.layer_name("x" * 130, "python3.13", "arm64")


def test_versions_sort_by_precedence() -> None:
    given_versions = ["1.10.0", "1.9.0", "1.10.0-rc.1", "1.10.0-rc.10", "1.10.0-rc.2"]
    assert sorted(given_versions, key=versions.order) == [
        "1.9.0",
        "1.10.0-rc.1",
        "1.10.0-rc.2",
        "1.10.0-rc.10",
        "1.10.0",
    ]

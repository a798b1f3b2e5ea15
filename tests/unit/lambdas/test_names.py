"""The keys of a database, in Python and where templates spell them out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from vector_common.errors import BadRequest
from vector_common.ids import new_id
from vector_common.names import (
    base,
    check_collection,
    check_database,
    check_key,
    delta_id_of,
    delta_key,
    delta_prefix,
    is_delta,
)

TEMPLATES = Path(__file__).parents[3] / "infra-templates"


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's tags, whose values are not looked at here."""


_Loader.add_multi_constructor("!", lambda *_: None)


def data_prefixes() -> list[str]:
    text = (TEMPLATES / "workflows.yaml").read_text("utf-8")
    resources = yaml.load(text, _Loader)["Resources"].values()
    wanted = [one["Properties"].get("DefinitionSubstitutions", {}) for one in resources]
    return [one["DataPrefix"] for one in wanted if "DataPrefix" in one]


def test_the_lifecycle_and_the_policies_name_the_prefix_of_databases() -> None:
    prefix = base("DB").removesuffix("DB")
    assert set(data_prefixes()) == {prefix}
    for name in ("chroma", "functions"):
        assert f'"s3:prefix": ["{prefix}*"]' in (TEMPLATES / f"{name}.yaml").read_text("utf-8")


def test_a_key_of_a_delta_is_told_from_others() -> None:
    delta = new_id()
    key = delta_key("db", delta)
    assert key == f"{delta_prefix('db')}{delta}.jsonl"
    assert is_delta(key)
    assert delta_id_of(key) == delta
    for other in (f"{delta_prefix('db')}{delta}.json", f"{delta_prefix('db')}x{delta}.jsonl", ""):
        assert not is_delta(other)
        assert delta_id_of(other) is None


def test_a_database_has_one_to_sixty_three_characters() -> None:
    assert check_database("a") == "a"
    assert check_database("a" * 63) == "a" * 63
    for bad in ("", "a" * 64, "-a", "a-", "a.b", "a/b"):
        with pytest.raises(BadRequest):
            check_database(bad)


def test_a_collection_has_three_to_two_hundred_and_fifty_characters() -> None:
    assert check_collection("abc") == "abc"
    assert check_collection("a" * 250) == "a" * 250
    for bad in ("ab", "a" * 251, "a..b", "-ab", "ab-"):
        with pytest.raises(BadRequest):
            check_collection(bad)


def test_a_key_fits_s3_and_file_systems() -> None:
    assert check_key("a" * 255)
    longest = "/".join(["a" * 255] * 3) + "/" + "b" * 254 + "/c"
    assert len(longest) == 1024
    assert check_key(longest) == longest
    for bad in ("a" * 256, f"{longest}c", "", "/a", "a//b", "a/../b", ".a"):
        with pytest.raises(BadRequest):
            check_key(bad)

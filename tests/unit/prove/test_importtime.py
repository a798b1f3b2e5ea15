"""What -X importtime writes becomes the tree that it was."""

from __future__ import annotations

from typing import Any

from layersmith.prove.cold import importtime

LOG = """\
import time: self [us] | cumulative | imported package
import time:       100 |        100 |   _json
START RequestId: 1
import time:       200 |        200 |     re._parser
import time:        50 |        250 |   re
import time:        10 |        360 | json
[WARNING] something else
import time:        70 |         70 | chromadb.api
import time:         5 |          5 |   chromadb.types
import time:        20 |         25 | chromadb
"""


def shape(nodes: list[importtime.Import]) -> list[tuple[str, Any]]:
    return [(node.module, shape(node.children)) for node in nodes]


def test_the_tree_is_rebuilt_from_depth_and_order() -> None:
    roots = importtime.parse(LOG)
    assert shape(roots) == [
        ("json", [("_json", []), ("re", [("re._parser", [])])]),
        ("chromadb.api", []),
        ("chromadb", [("chromadb.types", [])]),
    ]


def test_a_parent_costs_itself_and_its_children() -> None:
    json, *_ = importtime.parse(LOG)
    assert json.cumulative_us == json.self_us + sum(c.cumulative_us for c in json.children)


def test_each_module_belongs_to_the_nearest_package_with_an_owner() -> None:
    owners = {"chromadb": "chromadb-client", "chromadb.types": "other"}
    roots = importtime.parse(LOG, owners)
    assert [root.distribution for root in roots] == [None, "chromadb-client", "chromadb-client"]
    assert roots[2].children[0].distribution == "other"


def test_sums_by_distribution_count_each_module_once() -> None:
    roots = importtime.parse(LOG, {"chromadb": "chromadb-client", "re": "regex"})
    assert importtime.by_distribution(roots) == {"regex": 250, "chromadb-client": 95}


def test_the_costliest_modules_come_first() -> None:
    found = importtime.costliest(importtime.parse(LOG), 3)
    assert [node.module for node in found] == ["re._parser", "_json", "chromadb.api"]


def test_a_log_without_imports_is_an_empty_tree() -> None:
    assert importtime.parse("START RequestId: 1\nimport time: broken line\n") == []

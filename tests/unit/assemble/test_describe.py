from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layersmith.assemble import describe, wheel
from layersmith.assemble.collect import Part
from layersmith.assemble.graph import Dependencies, graph_of_parts
from layersmith.assemble.tree import Bytes, Entry
from layersmith.base.runtimes import get
from layersmith.plan import Target

from tests.support import wheels

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.config.models import Layer


def part(folder: Path, name: str, *requires: str) -> Part:
    path = wheels.make(folder, name, {f"{name}.py": b""}, requires=requires)
    return Part(name, "1.0", "wheel", wheel=wheel.read(path, name))


def test_the_graph_follows_extras_and_the_targets_markers(tmp_path: Path, layer: Layer) -> None:
    target = Target("demo", get("python3.13"), "arm64", layer)
    parts = [
        part(tmp_path, "top", 'left[fast] ; platform_machine == "aarch64"', 'no ; os_name == "nt"'),
        part(tmp_path, "left", 'wings ; extra == "fast"', 'tail ; extra == "slow"'),
        part(tmp_path, "wings"),
    ]
    graph = graph_of_parts(parts, ["top"], target)
    assert graph.edges == {"top": ["left"], "left": ["wings"], "wings": []}
    assert graph.chain("wings") == ["top", "left", "wings"]


def test_a_cycle_ends(tmp_path: Path, layer: Layer) -> None:
    target = Target("demo", get("python3.13"), "arm64", layer)
    parts = [part(tmp_path, "one", "two"), part(tmp_path, "two", "one")]
    assert graph_of_parts(parts, ["one"], target).edges == {"one": ["two"], "two": ["one"]}


def test_the_chain_is_the_shortest() -> None:
    graph = Dependencies(["a", "b"], {"a": ["c"], "c": ["d"], "d": ["e"], "b": ["d"]})
    assert graph.chain("e") == ["b", "d", "e"]
    assert graph.chain("stranger") == ["stranger"]


NAMES = st.sampled_from("abcdefgh")


@given(st.lists(NAMES, min_size=1, max_size=3), st.dictionaries(NAMES, st.lists(NAMES, max_size=4)))
def test_every_chain_is_a_path_of_edges(roots: list[str], edges: dict[str, list[str]]) -> None:
    graph = Dependencies(roots, edges)
    for name in "abcdefgh":
        chain = graph.chain(name)
        assert chain[-1] == name
        if len(chain) > 1:
            assert chain[0] in roots
            assert all(b in edges[a] for a, b in itertools.pairwise(chain))


@pytest.mark.parametrize(
    ("path", "native"),
    [
        ("python/a.cpython-313-aarch64-linux-gnu.so", True),
        ("python/a.libs/libx-12.so.6", True),
        ("python/a.py", False),
        ("python/a.sock", False),
    ],
)
def test_what_counts_as_native(path: str, native: bool) -> None:
    assert describe.is_native(Entry(path, Bytes(b""), "a")) is native

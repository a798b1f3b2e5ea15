"""Dominators, retained bytes and chains, against what removing a node really does."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from layersmith.assemble.graph import ROOT, Dependencies

NAMES = [f"n{number}" for number in range(9)]

graphs = st.builds(
    Dependencies,
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
    st.dictionaries(
        st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=4, unique=True)
    ),
)


def reached_without(graph: Dependencies, gone: str) -> set[str]:
    seen, waiting = set(), [root for root in graph.roots if root != gone]
    while waiting:
        node = waiting.pop()
        if node not in seen and node != gone:
            seen.add(node)
            waiting.extend(graph.edges.get(node, ()))
    return seen


@given(graphs, st.dictionaries(st.sampled_from(NAMES), st.integers(0, 1000)))
def test_retained_is_what_goes_when_a_node_goes(graph: Dependencies, sizes: dict[str, int]) -> None:
    everything = graph.reached()
    retained = graph.retained(sizes)
    assert set(retained) == everything
    for name in everything:
        gone = everything - reached_without(graph, name)
        assert graph.dominated(name) == sorted(gone)
        assert retained[name] == sum(sizes.get(one, 0) for one in gone)


@given(graphs)
def test_a_chain_is_a_shortest_path_of_edges(graph: Dependencies) -> None:
    chains = graph.chains()
    assert set(chains) == graph.reached()
    for name, chain in chains.items():
        assert chain[0] in graph.roots
        assert chain[-1] == name
        for above, below in pairwise(chain):
            assert below in graph.edges[above]
        assert all(
            len(chain) <= len(chains[other]) + 1
            for other in chains
            if name in graph.edges.get(other, ())
        )


def test_two_ways_share_what_neither_retains() -> None:
    graph = Dependencies(["app"], {"app": ["left", "right"], "left": ["base"], "right": ["base"]})
    sizes = {"app": 1, "left": 10, "right": 20, "base": 100}
    assert graph.retained(sizes) == {"app": 131, "left": 10, "right": 20, "base": 100}
    assert graph.dominators["base"] == "app"


def test_a_cycle_ends() -> None:
    graph = Dependencies(["a"], {"a": ["b"], "b": ["c"], "c": ["b", "a"]})
    assert graph.retained({"a": 1, "b": 2, "c": 4}) == {"a": 7, "b": 6, "c": 4}


def test_edges_can_be_taken_away() -> None:
    graph = Dependencies(["a"], {"a": ["b"], "b": ["c"]})
    assert graph.reached([("a", "b")]) == {"a"}


def test_a_chain_of_600_is_no_deeper_than_the_stack() -> None:
    names = [f"d{number}" for number in range(600)]
    edges = {one: [two] for one, two in pairwise(names)}
    graph = Dependencies(names[:1], edges)
    assert graph.retained(dict.fromkeys(names, 1))["d0"] == 600
    assert graph.chains()["d599"] == names
    assert graph.dominators["d0"] == ROOT


def test_a_star_of_600_with_a_shared_leaf() -> None:
    names = [f"d{number}" for number in range(598)]
    graph = Dependencies(["hub"], {"hub": names, **{name: ["leaf"] for name in names}})
    retained = graph.retained(dict.fromkeys([*names, "hub", "leaf"], 1))
    assert retained["hub"] == 600
    assert retained["d7"] == 1
    assert graph.dominators["leaf"] == "hub"

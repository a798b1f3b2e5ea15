"""Diagrams of state machines: up to date, and whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.stacks import diagrams

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
MACHINES = sorted((ROOT / "infra-templates/state-machines").glob("*.json"))


def test_the_page_in_docs_is_the_one_of_the_definitions() -> None:
    # `python build/layers.py stacks draw` brings it up to date.
    page = diagrams.page(ROOT / "infra-templates/state-machines")
    assert (ROOT / "docs/state-machines.md").read_text("utf-8") == page
    assert page.count("```mermaid\n") == len(MACHINES) > 0


def levels(machine: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The machine and the machines inside its maps."""
    yield machine
    for state in machine["States"].values():
        if "ItemProcessor" in state:
            yield from levels(state["ItemProcessor"])


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)
def test_every_state_is_drawn_once_and_every_way_ends_at_a_state(path: Path) -> None:
    machine = json.loads(path.read_text("utf-8"))
    drawn = diagrams.diagram(machine)
    names = [name for level in levels(machine) for name in level["States"]]
    assert sorted(re.findall(r'"(\w+)"', drawn)) == sorted(names)
    ways = re.findall(r"^ +(\w+) (-->|-\.->|-\. error \.->) (\w+)$", drawn, re.MULTILINE)
    assert {one for start, _, end in ways for one in (start, end)} <= set(names)
    said = json.dumps(machine)
    ends = re.findall(r'"(?:Next|Default)": "(\w+)"', said)
    assert {end for _, _, end in ways} == set(ends)


def test_a_loop_and_an_error_are_drawn_as_such() -> None:
    machine = {
        "StartAt": "A",
        "States": {
            "A": {"Type": "Wait", "Next": "B", "Catch": [{"Next": "D"}, {"Next": "D"}]},
            "B": {"Type": "Choice", "Choices": [{"Next": "A"}], "Default": "C"},
            "C": {
                "Type": "Map",
                "ItemProcessor": {"StartAt": "E", "States": {"E": {"Type": "Task", "End": True}}},
                "End": True,
            },
            "D": {"Type": "Fail"},
        },
    }
    assert diagrams.diagram(machine).splitlines() == [
        "flowchart TD",
        '    A("A")',
        '    B{"B"}',
        '    subgraph C["C"]',
        '        E["E"]',
        "        style E stroke-width:3px",
        "    end",
        '    D(["D"])',
        "    style A stroke-width:3px",
        "    A --> B",
        "    A -. error .-> D",
        "    B --> A",
        "    B -.-> C",
    ]

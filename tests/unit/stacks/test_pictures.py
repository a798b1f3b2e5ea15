"""Pictures of state machines: up to date, whole, and without boxes over each other."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from layersmith.stacks import layout, svg

if TYPE_CHECKING:
    from layersmith.stacks.layout import Drawing

ROOT = Path(__file__).parents[3]
MACHINES = ROOT / "infra-templates/state-machines"
PICTURES = svg.pictures(MACHINES)


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_in_docs_is_the_one_of_the_definition(name: str) -> None:
    # `python build/layers.py stacks draw` brings it up to date.
    assert (ROOT / "docs/state-machines" / name).read_text("utf-8") == PICTURES[name]


@pytest.mark.parametrize("name", PICTURES)
def test_every_state_is_in_the_picture(name: str) -> None:
    tree = ElementTree.fromstring(PICTURES[name])
    words = {one.text for one in tree.iter("{http://www.w3.org/2000/svg}text")}
    machine = json.loads((MACHINES / name.replace(".svg", ".asl.json")).read_text("utf-8"))
    assert set(machine["States"]) <= words


def drawings(drawing: Drawing) -> list[Drawing]:
    inner = [box.inner for box in drawing.boxes.values() if box.inner]
    return [drawing, *(found for one in inner for found in drawings(one))]


@pytest.mark.parametrize("path", sorted(MACHINES.glob("*.json")), ids=lambda path: path.stem)
def test_no_box_lies_over_another_and_edges_lead_down_but_for_loops(path: Path) -> None:
    for drawing in drawings(layout.draw(json.loads(path.read_text("utf-8")))):
        for one, other in itertools.combinations(drawing.boxes.values(), 2):
            apart = (
                one.x + one.width <= other.x
                or other.x + other.width <= one.x
                or one.y + one.height <= other.y
                or other.y + other.height <= one.y
            )
            assert apart, (one.name, other.name)
        assert drawing.boxes[drawing.start].y == 0


def test_a_loop_is_drawn_with_one_edge_back() -> None:
    machine = {
        "StartAt": "A",
        "States": {
            "A": {"Type": "Wait", "Next": "B"},
            "B": {"Type": "Choice", "Choices": [{"Next": "A"}], "Default": "C"},
            "C": {"Type": "Succeed"},
        },
    }
    drawing = layout.draw(machine)
    assert drawing.ranks == [["A"], ["B"], ["C"]]
    assert svg.picture("loop", machine) == svg.picture("loop", machine)

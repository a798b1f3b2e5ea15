"""Diagrams of the state machines as Mermaid, made from their definitions.

The same definitions give the same bytes, so that a test can tell when the page is out of date.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SUFFIX = ".asl.json"

HEAD = """\
# State machines

Made by `python build/layers.py stacks draw` from the definitions in
`infra-templates/state-machines/`; a test compares. A dotted arrow is taken by default, or on an
error where it says so; a frame is what a map does with every item.
"""
SHAPES = {"Choice": ("{", "}"), "Succeed": ("([", "])"), "Fail": ("([", "])"), "Wait": ("(", ")")}
"""How a type of state is drawn; all others are boxes."""

ARROWS = {"next": "-->", "choice": "-->", "default": "-.->", "catch": "-. error .->"}


def page(machines: Path) -> str:
    """Return the Markdown page with a diagram of every definition of a folder."""
    parts = [HEAD]
    for path in sorted(machines.glob(f"*{SUFFIX}")):
        machine = json.loads(path.read_text("utf-8"))
        parts.append(
            f"## {path.name.removesuffix(SUFFIX)}\n\n{machine.get('Comment', '')}\n\n"
            f"```mermaid\n{diagram(machine)}```\n"
        )
    return "\n".join(parts)


def diagram(machine: Mapping[str, Any]) -> str:
    """Return the flow chart of a state machine.

    Args:
        machine: A definition in the Amazon States Language.
    """
    return "\n".join(["flowchart TD", *_states(machine, "    "), ""])


def edges(state: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return where a state may lead, and in which way, each once."""
    found = [("next", state["Next"])] if "Next" in state else []
    found += [("choice", choice["Next"]) for choice in state.get("Choices", [])]
    found += [("default", state["Default"])] if "Default" in state else []
    found += [("catch", catch["Next"]) for catch in state.get("Catch", [])]
    return list(dict.fromkeys(found))


def _states(machine: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, state in machine["States"].items():
        if "ItemProcessor" in state:
            yield f'{indent}subgraph {name}["{name}"]'
            yield from _states(state["ItemProcessor"], f"{indent}    ")
            yield f"{indent}end"
        else:
            left, right = SHAPES.get(state["Type"], ("[", "]"))
            yield f'{indent}{name}{left}"{name}"{right}'
    yield f"{indent}style {machine['StartAt']} stroke-width:3px"
    for name, state in machine["States"].items():
        for kind, end in edges(state):
            yield f"{indent}{name} {ARROWS[kind]} {end}"

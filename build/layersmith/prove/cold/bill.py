"""What a cold start costs at Lambda: how long it takes at a size of memory, and for how much money.

The model. Lambda gives a function processor time in proportion to its memory, one processor at
1,769 MB (AWS Lambda developer guide, Configure memory). Below that, work that takes c ms of
processor time takes c / share; what else passes, such as waiting for a disk, stays. So a phase of w
ms, c of them on the processor, takes w + c * (1 / share - 1). Above it nothing gets sooner: an
import is the work of one thread. AWS does not document that it gives INIT more than that; where
it does, small functions start sooner than the model says. Billed are INIT and the invocation,
rounded up to a millisecond, by memory (AWS Compute Blog, 2025-04-29).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from layersmith.prove.cold.models import Billed, InitPhases, Spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.prove.cold.importtime import Import
    from layersmith.prove.cold.models import Sample, Variant

WHOLE = 1769
"""MB of memory at which Lambda gives a function one whole processor (AWS Lambda developer guide,
Configure memory)."""

MEMORIES = (512, 1024, WHOLE)
"""MB that are priced where nobody says which."""

SMALLEST, LARGEST = 128, 10_240
"""MB that a function may have (AWS Lambda developer guide, Quotas)."""

MILLION = 1_000_000

MODULES = 5
"""Modules that the sentence on INIT names."""

FUNCTION = "layersmith_function"
"""Module of the function that is timed."""


class Price(NamedTuple):
    """What Lambda takes for a GB-second.

    Attributes:
        per_gb_second: Money.
        currency: Such as USD.
        date: Day on which the price was read, ISO 8601.
    """

    per_gb_second: float
    currency: str
    date: str


def at(ms: float, cpu_ms: float | None, memory: int) -> float:
    """Return how long a phase takes at a size of memory.

    Args:
        ms: How long it took with a whole processor.
        cpu_ms: How much of that the processor worked; None where that is not known, for all.
        memory: MB.
    """
    share = min(1.0, memory / WHOLE)
    busy = ms if cpu_ms is None else min(ms, cpu_ms)
    return ms + busy * (1 / share - 1)


def billed(variant: Variant, memory: int, price: Price, factor: float = 1.0) -> Billed:
    """Price the cold starts of a variant.

    Args:
        variant: What was measured.
        memory: MB.
        price: What Lambda takes.
        factor: What measured times are divided by.
    """
    phases = [_phases(sample, memory, factor) for sample in variant.samples]
    each = price.per_gb_second * memory / 1024 * MILLION / 1000
    return Billed(
        variant=variant.name,
        memory=memory,
        init_ms=Spread.of([init for init, _ in phases]).median,
        call_ms=Spread.of([call for _, call in phases]).median,
        million=Spread.of([math.ceil(init + call) * each for init, call in phases]),
    )


def cheaper(
    changed: Variant, unchanged: Variant, memory: int, price: Price, factor: float = 1.0
) -> float:
    """Return how much less a million cold starts cost with a change, between the medians."""
    before, after = (
        billed(one, memory, price, factor).million.median for one in (unchanged, changed)
    )
    return round(before - after, 2)


def _phases(sample: Sample, memory: int, factor: float) -> tuple[float, float]:
    return (
        at(sample.init_ms, sample.init_cpu_ms, memory) / factor,
        at(sample.call_ms, sample.call_cpu_ms, memory) / factor,
    )


def phases(variant: Variant, roots: Sequence[Import], factor: float = 1.0) -> InitPhases | None:
    """Split INIT by the tree of imports; None where the tree does not have the function.

    The tree is of one start, which recording slows down: it gives shares, not times.

    Args:
        variant: What was measured.
        roots: What the interpreter imported in a start of it.
        factor: What measured times are divided by.
    """
    function = _find(FUNCTION, roots)
    if function is None:
        return None
    imports = variant.imports.median / factor
    scale = imports / max(function.cumulative_us, 1)
    found: dict[str, float] = {}
    for node in _layers(function):
        name = node.module.partition(".")[0]
        found[name] = found.get(name, 0.0) + node.cumulative_us * scale
    layer = sum(found.values())
    return InitPhases(
        runtime_ms=round(variant.init.median / factor - imports, 2),
        layer_ms=round(layer, 2),
        own_ms=round(imports - layer, 2),
        modules={name: round(ms, 2) for name, ms in sorted(found.items(), key=lambda one: -one[1])},
    )


def said(parts: InitPhases) -> str:
    """Return where INIT goes as a sentence."""
    named = [f"{name} {ms:,.0f}" for name, ms in list(parts.modules.items())[:MODULES]]
    more = len(parts.modules) - len(named)
    named += [f"{more} more"] if more > 0 else []
    listed = f" ({', '.join(named)})" if named else ""
    return (
        f"INIT in ms: the runtime {parts.runtime_ms:,.0f}, imports of the layer"
        f" {parts.layer_ms:,.0f}{listed}, the function's own {parts.own_ms:,.0f}"
    )


def _find(module: str, roots: Sequence[Import]) -> Import | None:
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if node.module == module:
            return node
        waiting += node.children
    return None


def _layers(node: Import) -> list[Import]:
    """Return the imports of what the layer brings, those that no other such import caused."""
    found = []
    waiting = list(node.children)
    while waiting:
        child = waiting.pop()
        if child.distribution:
            found.append(child)
        else:
            waiting += child.children
    return found

"""Who needs what among locked distributions, and what nobody needs once some are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

UNKNOWN = "something"
"""Stands for who asks for a distribution of which a lock does not say it."""


def orphans(asked_by: Mapping[str, Collection[str]], left_out: Collection[str]) -> dict[str, str]:
    """Return what a layer does not need once some distributions are left out of it.

    Args:
        asked_by: Normalized name to the names of what asks for it.
        left_out: Normalized names that stay out of the layer.

    Returns:
        Normalized name to the name in ``left_out`` that brought it; those names themselves are
        not in it. A distribution that something kept asks for is none, nor is one that nothing
        is known to ask for.
    """
    gone: dict[str, str] = {name: name for name in left_out if name in asked_by}
    changed = True
    while changed:
        changed = False
        for name, via in asked_by.items():
            if name not in gone and via and all(who in gone for who in via):
                gone[name] = gone[next(iter(via))]
                changed = True
    return {name: root for name, root in gone.items() if name not in left_out}


def needed_by(
    asked_by: Mapping[str, Collection[str]],
    wanted: Mapping[str, Collection[str]],
    left_out: Collection[str],
) -> dict[str, str]:
    """Return what cannot be left out, each with one of those that need it.

    A distribution can be left out where everything that asks for it is left out as well or does
    without it.

    Args:
        asked_by: Normalized name to the names of what asks for it.
        wanted: What is to be left out -> the names of those that do without it.
        left_out: Normalized names that stay out in any case.
    """
    found: dict[str, str] = {}
    while True:
        out = {*left_out, *wanted} - found.keys()
        out |= orphans(asked_by, out).keys() - found.keys()
        lacking = {
            name: who
            for name in wanted
            if name not in found
            for who in asked_by.get(name) or (UNKNOWN,)
            if who not in out and who not in wanted[name]
        }
        if not lacking:
            return found
        found |= lacking

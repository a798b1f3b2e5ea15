"""What is known of modules that do not import by design, as data: optional.toml."""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith.prove.smoke import modules

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA = Path(__file__).with_name("optional.toml")


@dataclass(frozen=True)
class Known:
    """What optional.toml holds.

    Attributes:
        modules: Globs of modules -> why they may fail; what lies below a match is meant, too.
        failures: Patterns of an exception, as ``Type: message``, -> why it is none of the layer.
        names: Distribution -> its modules, where they cannot be guessed from its name.
    """

    modules: Mapping[str, str]
    failures: Mapping[re.Pattern[str], str]
    names: Mapping[str, tuple[str, ...]]


@functools.cache
def known() -> Known:
    """Return the tables of optional.toml."""
    with DATA.open("rb") as stream:
        data = tomllib.load(stream)
    return Known(
        {glob: one["reason"] for one in data["modules"] for glob in one["globs"]},
        {re.compile(one["pattern"]): one["reason"] for one in data["failures"]},
        {name: tuple(found) for name, found in data["names"].items()},
    )


def by_name(module: str) -> str | None:
    """Return why a module may fail to import, whatever it says; None where none is known."""
    glob = modules.excepted(module, known().modules)
    return known().modules[glob] if glob else None


def by_failure(said: str) -> str | None:
    """Return why an exception is none of the layer, by ``Type: message``; None if it may be."""
    return next((why for one, why in known().failures.items() if one.search(said)), None)

"""What to paste so that a function uses a layer version: templates as data, in snippets.toml.

The command line and the page of all ARNs fill in the same templates with the same words.
"""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from layersmith.ship.aws import labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layersmith.ship.pointers.interface import Place

TEMPLATES = Path(__file__).with_name("snippets.toml")

Source = Literal["parameter", "arn"]
"""What a snippet names."""

_WORD = re.compile(r"@\{(\w+)\}")


@functools.cache
def templates() -> dict[str, dict[str, str]]:
    """Return format to its title and its templates by source, in the order of the file."""
    found = tomllib.loads(TEMPLATES.read_text("utf-8"))
    return {
        name: {key: text.lstrip("\n") for key, text in one.items()} for name, one in found.items()
    }


def words(place: Place, version: str, region: str = "", arn: str = "") -> dict[str, str]:
    """Return what the templates hold places for.

    Args:
        place: Layer, runtime and architecture.
        version: Semantic version, or ``latest``.
        region: Where the ARN is.
        arn: Of the layer version.
    """
    layer, runtime, architecture = place
    parts = [*layer.split("-"), "layer"]
    return {
        "layer": layer,
        "version": version,
        "runtime": runtime,
        "architecture": architecture,
        "region": region,
        "arn": arn,
        "parameter": labels.parameter(*place, version),
        "logical": "".join(part.capitalize() for part in parts),
        "name": "_".join(parts),
        "variable": "_".join(parts).upper(),
    }


def fill(kind: str, source: Source, values: Mapping[str, str]) -> str:
    """Return the text of a format.

    Args:
        kind: Name of the format.
        source: Whether it names the SSM parameter or the ARN.
        values: Of `words`.
    """
    return _WORD.sub(lambda found: values[found[1]], templates()[kind][source])

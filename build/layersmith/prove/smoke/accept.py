"""Writes modules that do not import into layers.yaml, with the reason found."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from layersmith import cache
from layersmith.config import document
from layersmith.prove.smoke import modules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from layersmith.config.loader import LoadedConfig
    from layersmith.prove.reports import SmokeReport

KEY = "import-exceptions"


def exceptions(report: SmokeReport) -> dict[str, str]:
    """Return what a report leaves to accept: module -> reason, nothing that another one covers."""
    found: dict[str, str] = {}
    for failed in report.imports.failed:
        why = failed.diagnosis or str(failed.failure.chain[0] if failed.failure.chain else "fails")
        for module in [failed.module, *failed.hidden]:
            found[module] = " ".join(why.split())[:200]
    return {
        one: why
        for one, why in sorted(found.items())
        if not any(modules.excepted(one, {other: ""}) for other in found if other != one)
    }


def edited(loaded: LoadedConfig, wanted: Mapping[str, Mapping[str, str]]) -> str:
    """Return layers.yaml with exceptions added.

    Args:
        loaded: The file.
        wanted: Layer -> module -> reason.

    Raises:
        ConfigError: The file is written in a way that cannot be edited.
    """
    text = loaded.path.read_bytes().decode()
    for layer, found in wanted.items():
        path = ("layers", layer, KEY)
        # A mapping of the layer's own replaces that of the defaults.
        known = (
            {}
            if document.has_mapping(text, path)
            else loaded.config.layers[layer].import_exceptions
        )
        text = document.with_entries(text, path, {**known, **found}, file=loaded.path.name)
    return text


def difference(loaded: LoadedConfig, text: str) -> str:
    """Return the change to layers.yaml as a unified diff."""
    before = loaded.path.read_bytes().decode().splitlines(keepends=True)
    after = text.splitlines(keepends=True)
    name = loaded.path.name
    return "".join(difflib.unified_diff(before, after, name, name)).rstrip()


def write(loaded: LoadedConfig, text: str) -> None:
    """Write layers.yaml whole or not at all."""
    cache.write_text(loaded.path, text)


def only_imports(report: SmokeReport) -> bool:
    """Whether what a report found is nothing but modules that do not import."""
    return len(report.problems) == len(report.imports.failed)


def of(reports: Iterable[SmokeReport], layers: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return what is left to accept by layer, from all its targets.

    Args:
        reports: Of the targets.
        layers: Identifier of a target -> its layer.
    """
    found: dict[str, dict[str, str]] = {}
    for report in reports:
        new = exceptions(report)
        if new:
            found.setdefault(layers[report.identifier], {}).update(new)
    return found

"""The table that a build prints, and the same as Markdown for GitHub's step summary."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.assemble.manifest import Manifest
    from layersmith.pipeline import BuildResult

HEADINGS = ("target", "zipped", "unzipped", "files", "bytecode", "glibc", "status", "time")


def rows(results: Sequence[BuildResult]) -> list[tuple[str, ...]]:
    """Return the cells of the table, a row a target."""
    return [_row(result) for result in results]


def show(results: Sequence[BuildResult]) -> None:
    """Print the table on stdout."""
    styles = {"failed": "red", "built": "green"}
    table = console.table(
        HEADINGS,
        rows(results),
        right={"zipped", "unzipped", "files", "bytecode", "time"},
        drop=("glibc", "bytecode", "time", "files", "unzipped"),
        styles=[styles.get(result.status) for result in results],
    )
    console.stdout().print(table)


def markdown(results: Sequence[BuildResult]) -> str:
    """Return the table as Markdown."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---|--:|--:|--:|--:|---|---|--:|"]
    lines += [f"| {' | '.join(cells)} |" for cells in rows(results)]
    return "\n".join(lines) + "\n"


def step_summary(text: str) -> None:
    """Append Markdown to the summary of the running GitHub step; elsewhere do nothing."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")


def as_json(result: BuildResult) -> dict[str, Any]:
    """Return a result as ``--json`` prints it."""
    manifest = result.manifest
    return {
        "target": result.target.identifier,
        "status": result.status,
        "seconds": round(result.seconds, 3),
        "artifact": manifest.artifact.model_dump() if manifest else None,
        "bytecode": bytecode_size(manifest) if manifest else None,
        "error": str(result.error) if result.error else None,
        "exit_code": result.error.exit_code if result.error else 0,
    }


def bytecode_size(manifest: Manifest) -> int:
    """Return the bytes of a layer's bytecode, unpacked."""
    return sum(one.bytecode for one in manifest.distributions)


def _row(result: BuildResult) -> tuple[str, ...]:
    manifest = result.manifest
    if manifest is None:
        return (result.target.identifier, "", "", "", "", "", result.status, _time(result))
    bytecode = bytecode_size(manifest)
    return (
        result.target.identifier,
        console.size(manifest.artifact.zipped),
        console.size(manifest.artifact.unzipped),
        f"{manifest.artifact.files:,}",
        console.size(bytecode) if bytecode else "none",
        manifest.audit.highest.get("GLIBC", "-"),
        result.status,
        _time(result),
    )


def _time(result: BuildResult) -> str:
    return f"{result.seconds:.1f} s" if result.seconds else ""

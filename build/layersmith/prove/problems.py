"""Words for what a smoke test found: every reason why a layer is not proven."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layersmith.prove.reports import (
        FailedImport,
        ForbiddenProof,
        ImportsProof,
        SmokeFileProof,
    )


def of(
    imports: ImportsProof, forbidden: ForbiddenProof | None, smoke: SmokeFileProof | None
) -> list[str]:
    """Return one text a problem, the likely cause in it."""
    found = [_import(failed) for failed in imports.failed]
    found += _forbidden(forbidden) if forbidden else []
    found += _smoke(smoke) if smoke else []
    return found


def _import(failed: FailedImport) -> str:
    said = " <- ".join(str(cause) for cause in failed.failure.chain)
    text = f"import {failed.module} fails: {said}"
    if failed.hidden:
        shown = ", ".join(failed.hidden[:5]) + (", ..." if len(failed.hidden) > 5 else "")
        text += f"\n  so do {len(failed.hidden)} others for the same reason: {shown}"
    if failed.diagnosis:
        text += f"\n  likely cause: {failed.diagnosis}"
    return text


def _forbidden(proof: ForbiddenProof) -> Iterator[str]:
    if proof.present:
        shown = ", ".join(proof.present[:5])
        yield f"forbidden modules are in the layer: {shown} ({len(proof.present)} in all)"
    if proof.loaded:
        yield f"forbidden modules are loaded after the {proof.after}: {', '.join(proof.loaded[:5])}"


def _smoke(proof: SmokeFileProof) -> Iterator[str]:
    for test in proof.tests:
        if test.outcome == "failed":
            where = "" if test.phase == "call" else f" in {test.phase}"
            yield f"{proof.file}: {test.name} failed{where}\n{_indented(test.text)}"
    if proof.tests and all(test.outcome == "skipped" for test in proof.tests):
        yield f"{proof.file}: every test was skipped, so nothing is proven"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-30:])

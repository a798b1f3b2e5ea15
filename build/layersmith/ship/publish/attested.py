"""Refuses to ship what the workflow that layers.yaml names did not build."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from layersmith import cache, console
from layersmith.assemble import manifest as manifests
from layersmith.assemble.outputs import Outputs
from layersmith.errors import BuildError, ManyErrors, ShipError
from layersmith.ship.github import Repository
from layersmith.supply import attestations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layersmith.config.trust import Attestations
    from layersmith.errors import LayersmithError
    from layersmith.plan import Target


def require(wanted: Attestations, targets: Sequence[Target], dist: Path, root: Path) -> None:
    """Refuse targets whose files have no attestation, or a wrong one.

    Args:
        wanted: What layers.yaml asks for.
        targets: What is to be shipped.
        dist: Folder with zips, manifests, bills of materials and, beside them, attestations; what
            is not there is asked of GitHub.
        root: Folder that paths in layers.yaml are relative to.

    Raises:
        ManyErrors: All that is wrong.
        ShipError: GitHub refused, or the trusted root cannot be read.
    """
    check = attestations.AttestationCheck(wanted, root)
    problems: list[LayersmithError] = []
    for target in targets:
        try:
            _one(check, wanted, Outputs.of(target, dist))
        except (BuildError, ShipError) as problem:
            problem.target = target.identifier
            problems.append(problem)
    if problems:
        raise ManyErrors(problems)


def _one(check: attestations.AttestationCheck, wanted: Attestations, files: Outputs) -> None:
    manifest = manifests.read(files.manifest)
    there = [path for path in (files.zip, files.manifest, files.sbom) if path.is_file()]
    bundles = attestations.beside(files.zip)
    if not bundles:
        api = os.environ.get("GITHUB_API_URL") or "https://api.github.com"
        hub = Repository(wanted.repository, os.environ.get("GITHUB_TOKEN"), api)
        bundles = [text for path in there for text in hub.attestations(cache.sha256_file(path))]
    if not bundles and not wanted.require:
        console.warn(f"{manifest.identifier}: {files.zip.name} has no attestation")
        return
    check.check(manifest, there, bundles)
    if not attestations.own(files.zip).is_file():
        # `publish` keeps what lies beside the zip: it can be verified later without GitHub.
        lines = [json.dumps(json.loads(text)) for text in bundles]
        cache.write_text(attestations.own(files.zip), "\n".join(dict.fromkeys(lines)) + "\n")

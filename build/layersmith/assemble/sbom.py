"""The CycloneDX 1.6 bill of materials of an artifact: dist/<stem>.cdx.json.

It is written as data, without date and with a serial number that follows from the inputs, so that
the same layer has the same bill; the tests validate it against CycloneDX's own schema. Bills that
wheels hold (PEP 770) are merged into it: their components stand within that of the distribution.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layersmith.assemble.collect import Part
    from layersmith.assemble.manifest import Distribution, FileInput, Manifest
    from layersmith.assemble.wheel_sboms import Embedded

NAMESPACE = uuid.UUID("0b0f4a52-6ef2-5f0f-9d3e-3f6d1c2a7a10")
"""Fixed namespace of serial numbers (RFC 9562, version 5)."""


def embedded(parts: Sequence[Part]) -> dict[str, Embedded]:
    """Return what the bills inside wheels say, by the name of the distribution.

    Raises:
        BuildError: A wheel is damaged.
    """
    from layersmith.assemble import wheel_sboms  # noqa: PLC0415 -- start-up time

    return {
        part.name: wheel_sboms.read(
            part.wheel, part.version, _reference(part.origin, part.name, part.version)
        )
        for part in parts
        if part.wheel
    }


def render(manifest: Manifest, inside: Mapping[str, Embedded]) -> str:
    """Return the bill of materials of an artifact as JSON.

    Args:
        manifest: Its manifest.
        inside: What the bills inside its wheels say, by distribution.
    """
    root = f"pkg:generic/{manifest.layer}@{manifest.version}"
    distributions = [dist for dist in manifest.distributions if dist.origin != "files"]
    bill: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, manifest.artifact.sha256)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": root,
                "name": manifest.layer,
                "version": manifest.version,
                "description": manifest.description,
                "hashes": [{"alg": "SHA-256", "content": manifest.artifact.sha256}],
                "properties": [
                    {"name": "aws:lambda:runtime", "value": manifest.runtime},
                    {"name": "aws:lambda:architecture", "value": manifest.architecture},
                ],
            },
            "tools": {
                "components": [
                    {"type": "application", "name": name, "version": version}
                    for name, version in sorted(manifest.tools.items())
                ]
            },
        },
        "components": [
            *(_component(dist, inside.get(dist.name)) for dist in distributions),
            *(_file(one) for one in manifest.inputs.files),
        ],
        "dependencies": [
            {
                "ref": root,
                "dependsOn": [
                    *(_purl(dist) for dist in distributions),
                    *(_file_ref(one) for one in manifest.inputs.files),
                ],
            },
            *(
                {"ref": ref, "dependsOn": needs}
                for dist in distributions
                for ref, needs in _edges(dist, distributions, inside.get(dist.name)).items()
            ),
        ],
    }
    incomplete = [
        _purl(dist) for dist in distributions if (one := inside.get(dist.name)) and one.problems
    ]
    if incomplete:
        bill["compositions"] = [{"aggregate": "incomplete", "assemblies": incomplete}]
    return json.dumps(bill, indent=1, ensure_ascii=False) + "\n"


def _edges(
    dist: Distribution, others: Sequence[Distribution], inside: Embedded | None
) -> dict[str, list[str]]:
    """Return what a distribution and the components within it need."""
    within = dict(inside.edges) if inside else {}
    own = [_purl(other) for other in others if other.name in dist.requires]
    own += [ref for ref in within.pop(_purl(dist), []) if ref not in own]
    return {_purl(dist): own, **within}


def _component(dist: Distribution, inside: Embedded | None) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _purl(dist),
        "name": dist.name,
        "version": dist.version,
        "purl": _purl(dist),
        "properties": [{"name": "layersmith:origin", "value": dist.origin}],
    }
    if dist.sha256:
        component["hashes"] = [{"alg": "SHA-256", "content": dist.sha256}]
    if dist.license:
        component["licenses"] = [{"license": {"name": dist.license}}]
    if inside:
        said = {"problem": inside.problems, "omitted": sorted(inside.omitted)}
        component["properties"] += [
            {"name": f"layersmith:sbom-{name}", "value": one}
            for name, found in said.items()
            for one in found
        ]
        if inside.components:
            component["components"] = inside.components
    return component


def _file(one: FileInput) -> dict[str, Any]:
    """Return the component of a file as it was given, before it was stripped."""
    return {
        "type": "file",
        "bom-ref": _file_ref(one),
        "name": one.path,
        "hashes": [{"alg": "SHA-256", "content": one.sha256}],
        "properties": [
            {"name": "layersmith:origin", "value": "files"},
            {"name": "layersmith:source", "value": one.source},
        ],
    }


def _file_ref(one: FileInput) -> str:
    return f"file:{one.path}"


def _purl(dist: Distribution) -> str:
    return _reference(dist.origin, dist.name, dist.version)


def _reference(origin: str, name: str, version: str) -> str:
    kind = "generic" if origin in {"local", "stub"} else "pypi"
    return f"pkg:{kind}/{name}@{version}"

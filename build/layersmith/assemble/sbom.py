"""The CycloneDX 1.6 bill of materials of an artifact: dist/<stem>.cdx.json.

It is written as data, without date and with a serial number that follows from the inputs, so that
the same layer has the same bill; the tests validate it against CycloneDX's own schema.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from layersmith.assemble.manifest import Distribution, FileInput, Manifest

NAMESPACE = uuid.UUID("0b0f4a52-6ef2-5f0f-9d3e-3f6d1c2a7a10")
"""Fixed namespace of serial numbers (RFC 9562, version 5)."""


def render(manifest: Manifest) -> str:
    """Return the bill of materials of an artifact as JSON."""
    root = f"pkg:generic/{manifest.layer}@{manifest.version}"
    distributions = [dist for dist in manifest.distributions if dist.origin != "files"]
    present = {dist.name for dist in distributions}
    bill = {
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
            *(_component(dist) for dist in distributions),
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
                {
                    "ref": _purl(dist),
                    "dependsOn": [
                        _purl(other)
                        for other in distributions
                        if other.name in dist.requires and other.name in present
                    ],
                }
                for dist in distributions
            ),
        ],
    }
    return json.dumps(bill, indent=1, ensure_ascii=False) + "\n"


def _component(dist: Distribution) -> dict[str, Any]:
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
    if dist.origin in {"local", "stub"}:
        return f"pkg:generic/{dist.name}@{dist.version}"
    return f"pkg:pypi/{dist.name}@{dist.version}"

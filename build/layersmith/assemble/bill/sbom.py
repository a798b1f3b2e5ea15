"""The CycloneDX 1.6 bill of materials of an artifact: dist/<stem>.cdx.json.

It is written as data, without date and with a serial number that follows from the inputs, so that
the same layer has the same bill; the tests validate it against CycloneDX's own schema. Bills that
wheels hold (PEP 770) are merged into it: their components stand within that of the distribution.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from layersmith.assemble.bill import licenses
from layersmith.assemble.bill.licenses import IDENTIFIER
from layersmith.base.modules import is_shared_library

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterator, Mapping, Sequence

    from layersmith.assemble.bill.licenses import LicenseText
    from layersmith.assemble.bill.wheel_sboms import Embedded
    from layersmith.assemble.collect import Part
    from layersmith.assemble.manifest import Distribution, FileInput, Manifest
    from layersmith.assemble.wheel import Wheel

NAMESPACE = uuid.UUID("0b0f4a52-6ef2-5f0f-9d3e-3f6d1c2a7a10")
"""Fixed namespace of serial numbers (RFC 9562, version 5)."""

BLAS = "lite-blas"
"""Key of its record in the manifest, and its name in a bill."""


def embedded(
    parts: Sequence[Part], there: Container[str] | None = None, made: Collection[str] = ()
) -> dict[str, Embedded]:
    """Return what wheels tell of what is in them, by the name of the distribution.

    That is what their bills of materials name, the libraries that these leave out, and the texts
    of licences.

    Args:
        parts: The distributions.
        there: Paths of the files that are in the layer; None for all.
        made: Paths of the files that the build put in the place of those of a wheel.

    Raises:
        BuildError: A wheel is damaged.
    """
    from layersmith.assemble.bill.wheel_sboms import Embedded  # noqa: PLC0415 -- start-up time

    return {
        part.name: _inside(
            part.wheel, part.version, _reference(part.origin, part.name, part.version), there, made
        )
        if part.wheel
        else Embedded(reason=part.reason)
        for part in parts
        if part.wheel or part.reason
    }


def _inside(
    wheel: Wheel, version: str, own: str, there: Container[str] | None, made: Collection[str]
) -> Embedded:
    from layersmith.assemble.bill import bundled, wheel_sboms  # noqa: PLC0415 -- start-up time

    found = wheel_sboms.read(wheel, version, own)
    native = [
        entry
        for entry in wheel.entries
        if is_shared_library(entry.path)
        and (there is None or entry.path in there)
        and entry.path not in made
    ]
    named = [one for outer in found.components for one in nested(outer)]
    for component in bundled.components(native, named, own):
        found.components.append(component)
        found.edges[component["bom-ref"]] = []
        found.edges.setdefault(own, []).append(component["bom-ref"])
    found.texts = licenses.texts(wheel)
    return found


def nested(component: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a component and all within it."""
    yield component
    for one in component.get("components", []):
        yield from nested(one)


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
                **({"licenses": [_licensed(manifest.license)]} if manifest.license else {}),
                "properties": [
                    {"name": "aws:lambda:runtime", "value": manifest.runtime},
                    {"name": "aws:lambda:architecture", "value": manifest.architecture},
                ],
            },
            "tools": {
                "components": [
                    {"type": "application", "name": name, "version": version}
                    for name, version in sorted({**manifest.tools, **_compilers(manifest)}.items())
                ]
            },
        },
        "components": [
            *(_component(dist, inside.get(dist.name), manifest) for dist in distributions),
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
                for ref, needs in _edges(dist, manifest, inside.get(dist.name)).items()
            ),
        ],
    }
    incomplete = [
        _purl(dist) for dist in distributions if (one := inside.get(dist.name)) and one.problems
    ]
    if incomplete:
        bill["compositions"] = [{"aggregate": "incomplete", "assemblies": incomplete}]
    return to_json(bill, indent=1).decode() + "\n"


def _edges(dist: Distribution, manifest: Manifest, inside: Embedded | None) -> dict[str, list[str]]:
    """Return what a distribution and the components within it need."""
    within = dict(inside.edges) if inside else {}
    others = [one for one in manifest.distributions if one.origin != "files"]
    own = [_purl(other) for other in others if other.name in dist.requires]
    own += [ref for ref in within.pop(_purl(dist), []) if ref not in own]
    if BLAS in manifest.cross.get(dist.name, {}):
        within[_blas_ref(dist)] = []
        own.append(_blas_ref(dist))
    return {_purl(dist): own, **within}


def _component(dist: Distribution, inside: Embedded | None, manifest: Manifest) -> dict[str, Any]:
    record = manifest.cross.get(dist.name, {})
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _purl(dist),
        "name": dist.name,
        "version": dist.version,
        "purl": _purl(dist),
        "properties": [{"name": "layersmith:origin", "value": dist.origin}],
    }
    if sha256 := record.get("sha256") if dist.origin == "cross" else dist.sha256:
        component["hashes"] = [{"alg": "SHA-256", "content": sha256}]
    if pedigree := _pedigree(dist, record, inside):
        component["pedigree"] = pedigree
    if terms := _terms(dist):
        component["licenses"] = [terms]
    if inside:
        if inside.texts:
            component["evidence"] = {"licenses": [_text(one) for one in inside.texts]}
        said = {"problem": inside.problems, "omitted": sorted(inside.omitted)}
        component["properties"] += [
            {"name": f"layersmith:sbom-{name}", "value": one}
            for name, found in said.items()
            for one in found
        ]
    within = [*(inside.components if inside else [])]
    if BLAS in record:
        within.append(_blas(dist, record[BLAS], manifest))
    if within:
        component["components"] = within
    return component


def _compilers(manifest: Manifest) -> dict[str, str]:
    """Return the compilers that made parts of the layer, with their versions."""
    records = [one for record in manifest.cross.values() for one in (record, record.get(BLAS, {}))]
    compilers = [one["compiler"] for one in records if "compiler" in one]
    return {one["name"]: one["version"] for one in compilers}


def _pedigree(
    dist: Distribution, record: Mapping[str, Any], inside: Embedded | None
) -> dict[str, Any] | None:
    """Return what a distribution was made from, where its author published something else."""
    published: dict[str, Any] = {
        "type": "library",
        "name": dist.name,
        "version": dist.version,
        "purl": f"pkg:pypi/{dist.name}@{dist.version}",
    }
    if dist.origin == "stub":
        reason = f": {inside.reason}" if inside and inside.reason else ""
        return {"variants": [published], "notes": f"A stub takes its place{reason}"}
    if dist.origin not in {"cross", "sdist"}:
        return None
    if dist.sha256:
        published["hashes"] = [{"alg": "SHA-256", "content": dist.sha256}]
    by = record.get("compiler")
    notes = f"Built from its sdist, {dist.filename}"
    notes += f", with {by['name']} {by['version']}" if by else ""
    return {"ancestors": [published], "notes": notes}


def _blas(dist: Distribution, record: Mapping[str, Any], manifest: Manifest) -> dict[str, Any]:
    """Return the component of the library that takes the place of OpenBLAS."""
    sources = {
        "type": "library",
        "name": dist.name,
        "version": record["numpy"],
        "purl": f"pkg:pypi/{dist.name}@{record['numpy']}",
        "hashes": [{"alg": "SHA-256", "content": record["sdist"]["sha256"]}],
    }
    by = record["compiler"]
    return {
        "type": "library",
        "bom-ref": _blas_ref(dist),
        "name": BLAS,
        "version": manifest.tools["layersmith"],
        "hashes": [{"alg": "SHA-256", "content": record["sha256"]}],
        "pedigree": {
            "ancestors": [sources],
            "notes": "BLAS and LAPACK from the sources in numpy's sdist,"
            f" {record['sdist']['filename']}, compiled with {by['name']} {by['version']} for"
            f" {record['target']}; it takes the place of the OpenBLAS that numpy's wheel bundles",
        },
        "evidence": {"occurrences": [{"location": record["library"]}]},
        "properties": [{"name": "layersmith:origin", "value": "cross"}],
    }


def _blas_ref(dist: Distribution) -> str:
    return f"{_purl(dist)}#{BLAS}"


def _terms(dist: Distribution) -> dict[str, Any] | None:
    """Return the licence of a distribution: an identifier, an expression, or what it says."""
    if not dist.license:
        return None
    return _licensed(dist.license, dist.license_expression)


def _licensed(said: str, spdx: str | None = None) -> dict[str, Any]:
    spdx = spdx or licenses.canonical(said)
    if spdx and not IDENTIFIER.fullmatch(spdx):
        return {"expression": spdx, "acknowledgement": "declared"}
    named = {"id": spdx} if spdx else {"name": said}
    return {"license": {**named, "acknowledgement": "declared"}}


def _text(one: LicenseText) -> dict[str, Any]:
    """Return a file with terms, by its path below python/."""
    if one.text is None:
        return {"license": {"name": one.path}}
    content = {"contentType": "text/plain", "content": one.text}
    return {"license": {"name": one.path, "text": content}}


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

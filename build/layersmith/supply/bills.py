"""The bill of materials of a whole function, and any bill as SPDX 2.3.

That of a function holds its own code, its layers, and what is there anyway.

SPDX is made of the CycloneDX that `build` writes. What SPDX has no field for stands in a comment;
nothing is left out but properties. Of what the schema calls files SPDX wants a SHA-1, so that they
are packages with the purpose FILE.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from layersmith import __version__, cache
from layersmith.assemble.bill import licenses, sbom
from layersmith.base.models import StrictModel
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from layersmith.base.runtimes import Runtime

CREATED = "1980-01-01T00:00:00Z"
"""The date of everything that the build writes: that of the entries of a zip (MS-DOS epoch)."""

NONE = "NOASSERTION"

ALGORITHMS = {
    **{f"SHA-{bits}": f"SHA{bits}" for bits in ("1", "256", "384", "512")},
    **{f"SHA3-{bits}": f"SHA3-{bits}" for bits in ("256", "384", "512")},
    **{f"BLAKE2b-{bits}": f"BLAKE2b-{bits}" for bits in ("256", "384", "512")},
    "MD5": "MD5",
    "BLAKE3": "BLAKE3",
}
"""CycloneDX's names of hash algorithms to those of SPDX 2.3 (annex H of each)."""

PURPOSES = {
    **{kind: kind.upper() for kind in ("application", "framework", "library", "container")},
    **{kind: kind.upper() for kind in ("device", "firmware", "file")},
    "operating-system": "OPERATING-SYSTEM",
}
"""Types of CycloneDX that SPDX has a purpose for; others are OTHER."""


@dataclass(frozen=True)
class BuiltPart:
    """A zip of dist/ with its bill.

    Attributes:
        manifest: Its manifest.
        bill: Its bill, as CycloneDX.
    """

    manifest: Manifest
    bill: dict[str, Any]


@dataclass(frozen=True)
class FunctionCode:
    """The code of a function that is not built here.

    Attributes:
        path: Its folder as layers.yaml names it.
        folder: Where that is.
    """

    path: str
    folder: Path


def read(path: Path) -> dict[str, Any]:
    """Return the bill beside a zip.

    Raises:
        BuildError: It is missing or damaged.
    """
    hint = "run `nox -s build` to write it"
    try:
        found = json.loads(path.read_bytes())
        if found["bomFormat"] == "CycloneDX" and found["metadata"]["component"]["bom-ref"]:
            return dict(found)
    except FileNotFoundError:
        raise BuildError(f"{path.name} is not in {path.parent}", hint=hint) from None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    raise BuildError(f"{path.name} is not a bill of materials of layersmith", hint=hint)


def of_function(
    name: str,
    runtime: Runtime,
    architecture: str,
    layers: Sequence[BuiltPart],
    code: BuiltPart | FunctionCode | None,
) -> dict[str, Any]:
    """Return the bill of a function as CycloneDX 1.6.

    Args:
        name: Name of the function.
        runtime: Its runtime.
        architecture: ``arm64`` or ``x86_64``.
        layers: Its layers, in the order in which Lambda unpacks them.
        code: Its own zip or folder; None where layers.yaml names none.

    Raises:
        OSError: The folder of its code cannot be read.
    """
    root = f"function:{name}"
    parts = [_Part(one, f"{root}/{one.manifest.layer}") for one in layers]
    own = _Part(code, f"{root}/code") if isinstance(code, BuiltPart) else None
    assemblies = [*([own.component()] if own else []), *(part.component() for part in parts)]
    if isinstance(code, FunctionCode):
        assemblies.insert(0, _folder(code, name, root))
    managed = [*_managed([one.manifest for one in layers], root)]
    provided = _runtime(runtime, root)
    assemblies += [*managed, provided]
    built = [*([own] if own else []), *parts]
    digests = [one["hashes"][0]["content"] for one in assemblies if "hashes" in one]
    seed = json.dumps([name, runtime.name, architecture, digests])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(sbom.NAMESPACE, seed)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": name,
                "properties": [
                    {"name": "aws:lambda:runtime", "value": runtime.name},
                    {"name": "aws:lambda:architecture", "value": architecture},
                ],
            },
            "tools": {
                "components": [
                    {"type": "application", "name": "layersmith", "version": __version__}
                ]
            },
        },
        "components": assemblies,
        "dependencies": [
            {"ref": root, "dependsOn": [one["bom-ref"] for one in assemblies]},
            *(edge for part in built for edge in part.dependencies()),
        ],
        "compositions": [
            *(one for part in built for one in part.compositions()),
            # AWS and others update these without being asked.
            *(
                {"aggregate": "incomplete", "assemblies": [one["bom-ref"]]}
                for one in (*managed, provided)
            ),
        ],
    }


class _Part:
    """One zip of the function; two may hold the same distribution, so references get a prefix."""

    def __init__(self, part: BuiltPart, prefix: str) -> None:
        self.part = part
        self.prefix = prefix

    def component(self) -> dict[str, Any]:
        root = self.part.bill["metadata"]["component"]
        role = "code" if self.part.manifest.function else "layer"
        properties = [*root.get("properties", []), {"name": "layersmith:part", "value": role}]
        inner = self.part.bill.get("components", [])
        return self._renamed({**root, "properties": properties, "components": inner})

    def dependencies(self) -> Iterator[dict[str, Any]]:
        for one in self.part.bill.get("dependencies", []):
            ends = [self._ref(ref) for ref in one.get("dependsOn", [])]
            yield {"ref": self._ref(one["ref"]), "dependsOn": ends}

    def compositions(self) -> Iterator[dict[str, Any]]:
        for one in self.part.bill.get("compositions", []):
            yield {**one, "assemblies": [self._ref(ref) for ref in one["assemblies"]]}

    def _renamed(self, component: Mapping[str, Any]) -> dict[str, Any]:
        inner = [self._renamed(one) for one in component.get("components", [])]
        made = {**component, "bom-ref": self._ref(component["bom-ref"])}
        return {**made, "components": inner} if inner else made

    def _ref(self, ref: str) -> str:
        return f"{self.prefix}/{ref}"


def _folder(code: FunctionCode, name: str, root: str) -> dict[str, Any]:
    return {
        "type": "application",
        "bom-ref": f"{root}/code",
        "name": f"{name}-code",
        "hashes": [{"alg": "SHA-256", "content": cache.sha256_folder(code.folder)}],
        "properties": [
            {"name": "layersmith:part", "value": "code"},
            {"name": "layersmith:source", "value": code.path},
        ],
    }


def _managed(manifests: Sequence[Manifest], root: str) -> Iterator[dict[str, Any]]:
    """Yield the managed layers that functions use beside these layers."""
    found: dict[str, dict[str, str]] = {}
    for manifest in manifests:
        for one in manifest.dropped:
            if one.managed:
                found.setdefault(one.managed, {})[one.name] = one.version
    for layer, versions in sorted(found.items()):
        yield _given(f"{root}/managed/{layer}", layer, "managed-layer", versions)


def _runtime(runtime: Runtime, root: str) -> dict[str, Any]:
    versions = {one.name: one.version for one in runtime.provides}
    made = _given(f"{root}/runtime", f"AWS Lambda {runtime.name}", "runtime", versions)
    return {**made, "type": "platform"}


def _given(ref: str, name: str, part: str, versions: Mapping[str, str]) -> dict[str, Any]:
    """Return what others provide, with its distributions marked as theirs."""
    return {
        "type": "library",
        "bom-ref": ref,
        "name": name,
        "properties": [{"name": "layersmith:part", "value": part}],
        "components": [
            {
                "type": "library",
                "bom-ref": f"{ref}/{one}",
                "name": one,
                "version": version,
                "purl": f"pkg:pypi/{one}@{version}",
                "properties": [{"name": "layersmith:provided-by", "value": name}],
            }
            for one, version in sorted(versions.items())
        ],
    }


class PrintedBill(StrictModel):
    """A bill of materials as `sbom` prints it."""

    name: str
    """Stem of the zip, or ``FUNCTION-RUNTIME-ARCHITECTURE.function``."""
    format: Literal["cyclonedx", "spdx"]
    """CycloneDX 1.6 or SPDX 2.3, both as JSON."""
    document: dict[str, Any]
    """The bill, as the schema of its format describes it."""


def to_spdx(bill: Mapping[str, Any]) -> dict[str, Any]:
    """Return a CycloneDX 1.6 document as SPDX 2.3.

    Args:
        bill: The document, as `build` and `sbom` write it.
    """
    root = bill["metadata"]["component"]
    document = _SpdxDocument()
    document.add(
        {**root, "components": bill.get("components", [])}, "SPDXRef-DOCUMENT", "DESCRIBES"
    )
    for one in bill.get("dependencies", []):
        for other in one.get("dependsOn", []):
            document.relate(document.ids[one["ref"]], "DEPENDS_ON", document.ids[other])
    tools = bill["metadata"].get("tools", {}).get("components", [])
    name = "-".join(filter(None, (root["name"], root.get("version"))))
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": "https://spdx.org/spdxdocs/"
        f"{name}-{bill['serialNumber'].removeprefix('urn:uuid:')}",
        "creationInfo": {
            "created": CREATED,
            "creators": [f"Tool: {one['name']}-{one['version']}" for one in tools]
            or ["Tool: layersmith"],
            "comment": "The date is that of the files in the zip, so that the same inputs give the"
            " same document.",
        },
        "packages": document.packages,
        "relationships": document.relationships,
        **({"hasExtractedLicensingInfos": [*document.named.values()]} if document.named else {}),
    }


@dataclass
class _SpdxDocument:
    """What becomes of components, one after the other."""

    packages: list[dict[str, Any]] = field(default_factory=list)
    relationships: list[dict[str, str]] = field(default_factory=list)
    named: dict[str, dict[str, str]] = field(default_factory=dict)
    """Licences that are not on SPDX's list, by their identifier."""
    ids: dict[str, str] = field(default_factory=dict)
    """SPDX's identifier of a component, by its bom-ref."""

    def add(self, component: Mapping[str, Any], above: str, how: str) -> None:
        """Add a component, what is within it, and what it was made from."""
        own = self._identifier(component)
        if ref := component.get("bom-ref"):
            self.ids[ref] = own
        self.packages.append(self._package(component, own))
        self.relate(*((above, how, own) if how in {"DESCRIBES", "CONTAINS"} else (own, how, above)))
        for one in component.get("components", []):
            self.add(one, own, "CONTAINS")
        pedigree = component.get("pedigree", {})
        for kind, relation in (("ancestors", "ANCESTOR_OF"), ("variants", "VARIANT_OF")):
            for one in pedigree.get(kind, []):
                self.add(one, own, relation)

    def relate(self, one: str, how: str, other: str) -> None:
        """Add a relationship."""
        self.relationships.append(
            {"spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other}
        )

    def _identifier(self, component: Mapping[str, Any]) -> str:
        said = "-".join(filter(None, (component["name"], component.get("version"))))
        # The number keeps apart what differs only in letters that SPDX does not take.
        return f"SPDXRef-{len(self.packages)}-{_idstring(said)}"

    def _package(self, component: Mapping[str, Any], own: str) -> dict[str, Any]:
        made: dict[str, Any] = {
            "SPDXID": own,
            "name": component["name"],
            "downloadLocation": NONE,
            "filesAnalyzed": False,
            "licenseConcluded": NONE,
            "licenseDeclared": self._declared(component.get("licenses", [])),
            "copyrightText": component.get("copyright", NONE),
            "primaryPackagePurpose": PURPOSES.get(component["type"], "OTHER"),
        }
        if version := component.get("version"):
            made["versionInfo"] = version
        if description := component.get("description"):
            made["description"] = description
        if checksums := [
            {"algorithm": ALGORITHMS[one["alg"]], "checksumValue": one["content"].lower()}
            for one in component.get("hashes", [])
        ]:
            made["checksums"] = checksums
        if references := [*_references(component)]:
            made["externalRefs"] = references
        evidence = component.get("evidence", {})
        texts = [
            f"{one['license']['name']}\n\n{one['license']['text']['content']}"
            for one in evidence.get("licenses", [])
            if "text" in one["license"]
        ]
        if texts:
            made["attributionTexts"] = texts
        if comment := _comment(component):
            made["comment"] = comment
        return made

    def _declared(self, said: list[dict[str, Any]]) -> str:
        """Return licences as one expression: of several each applies, for all that is known."""
        found = [self._expression(one) for one in said]
        return (
            " AND ".join(f"({one})" if " OR " in one and found[1:] else one for one in found)
            or NONE
        )

    def _expression(self, one: Mapping[str, Any]) -> str:
        said = one.get("license", {})
        text = one.get("expression") or said.get("id") or said.get("name", "unknown")
        expression = licenses.canonical(text)
        if expression is None:
            # Two names may differ in letters that SPDX does not take.
            number = next(
                (i for i, known in enumerate(self.named.values()) if known["name"] == text),
                len(self.named),
            )
            expression = f"LicenseRef-{number}-{_idstring(text)[:60]}"
        content = said.get("text", {}).get("content") or f"Only the name is known: {text}"
        for name in re.findall(r"LicenseRef-[\w.-]+", expression):
            self.named.setdefault(name, {"licenseId": name, "name": text, "extractedText": content})
        return expression


def _references(component: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for key, category, kind in (
        ("purl", "PACKAGE-MANAGER", "purl"),
        ("cpe", "SECURITY", "cpe23Type"),
    ):
        if locator := component.get(key):
            old = locator.startswith("cpe:/")
            yield {
                "referenceCategory": category,
                "referenceType": "cpe22Type" if old else kind,
                "referenceLocator": locator,
            }


def _comment(component: Mapping[str, Any]) -> str:
    """Return what has no field of its own: how it was made, where it was found, our properties."""
    lines = [component["pedigree"]["notes"]] if component.get("pedigree", {}).get("notes") else []
    places = [one["location"] for one in component.get("evidence", {}).get("occurrences", [])]
    lines += [f"files: {', '.join(places)}"] if places else []
    lines += [f"{one['name']}: {one.get('value', '')}" for one in component.get("properties", [])]
    return "\n".join(lines)


def _idstring(text: str) -> str:
    """Return a text with the letters that SPDX takes in an identifier."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip("-.") or "unnamed"

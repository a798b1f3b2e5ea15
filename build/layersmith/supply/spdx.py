"""A bill of materials as SPDX 2.3, from the CycloneDX one that `build` writes.

What SPDX has no field for stands in a comment; nothing is left out but properties. Of what the
schema calls files SPDX wants a SHA-1, so that they are packages with the purpose FILE.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from layersmith.assemble.bill import licenses
from layersmith.assemble.manifest import ManifestPart

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


class PrintedBill(ManifestPart):
    """A bill of materials as `sbom` prints it."""

    name: str
    """Stem of the zip, or ``FUNCTION-RUNTIME-ARCHITECTURE.function``."""
    format: Literal["cyclonedx", "spdx"]
    """CycloneDX 1.6 or SPDX 2.3, both as JSON."""
    document: dict[str, Any]
    """The bill, as the schema of its format describes it."""


def convert(bill: Mapping[str, Any]) -> dict[str, Any]:
    """Return a CycloneDX 1.6 document as SPDX 2.3.

    Args:
        bill: The document, as `build` and `sbom` write it.
    """
    root = bill["metadata"]["component"]
    document = _Document()
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
class _Document:
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

"""Bills as SPDX 2.3: valid by its schema, and with what the CycloneDX bill says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from layersmith.assemble.bill import sbom
from layersmith.assemble.bill.licenses import LicenseText
from layersmith.assemble.bill.wheel_sboms import Embedded
from layersmith.supply import bills

from tests.unit.report import made

SCHEMA = json.loads((Path(__file__).parents[2] / "support/spdx-2.3.schema.json").read_text("utf-8"))


def converted(inside: Embedded | None = None, **changes: Any) -> dict[str, Any]:
    """Return the bill of a layer with one distribution as SPDX; it is valid by the schema."""
    manifest = made.manifest()
    one = manifest.distributions[0].model_copy(update={"name": "alpha", "requires": [], **changes})
    manifest = manifest.model_copy(update={"distributions": [one]})
    found = bills.to_spdx(json.loads(sbom.render(manifest, {"alpha": inside} if inside else {})))
    jsonschema.Draft7Validator(SCHEMA).validate(found)
    return found


def package(document: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (one for one in document["packages"] if one["name"] == name)
    return dict(found)


def related(document: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Return the relationships, by the names of what they relate."""
    names = {one["SPDXID"]: one["name"] for one in document["packages"]}
    names["SPDXRef-DOCUMENT"] = "document"
    return {
        (names[one["spdxElementId"]], one["relationshipType"], names[one["relatedSpdxElement"]])
        for one in document["relationships"]
    }


OPENSSL = {
    "type": "library",
    "bom-ref": "o",
    "name": "openssl",
    "version": "3.5.8",
    "purl": "pkg:generic/openssl@3.5.8",
    "cpe": "cpe:2.3:a:openssl:openssl:3.5.8:*:*:*:*:*:*:*",
    "hashes": [{"alg": "SHA-256", "content": "A" * 64}],
    "licenses": [{"license": {"name": "Open/SSL"}}, {"expression": "MIT OR ISC"}],
    "evidence": {"occurrences": [{"location": "a.libs/libssl.so.3"}]},
}


def test_what_is_in_a_layer_is_related_to_it() -> None:
    inside = Embedded([OPENSSL], {"o": [], "pkg:pypi/alpha@1.0": ["o"]})
    document = converted(inside, license="MIT", license_expression="MIT")
    assert related(document) == {
        ("document", "DESCRIBES", "demo"),
        ("demo", "CONTAINS", "alpha"),
        ("alpha", "CONTAINS", "openssl"),
        ("demo", "DEPENDS_ON", "alpha"),
        ("alpha", "DEPENDS_ON", "openssl"),
    }
    openssl = package(document, "openssl")
    assert {one["referenceLocator"] for one in openssl["externalRefs"]} == {
        OPENSSL["purl"],
        OPENSSL["cpe"],
    }
    assert openssl["checksums"] == [{"algorithm": "SHA256", "checksumValue": "a" * 64}]
    assert openssl["comment"] == "files: a.libs/libssl.so.3"
    assert package(document, "alpha")["licenseDeclared"] == "MIT"


def test_licences_that_spdx_does_not_list_are_defined_once() -> None:
    other = {
        **OPENSSL,
        "bom-ref": "p",
        "name": "other",
        "licenses": [{"license": {"name": "Open SSL"}}],
    }
    again = {**OPENSSL, "bom-ref": "q", "name": "again"}
    document = converted(Embedded([OPENSSL, other, again], {"o": [], "p": [], "q": []}))
    declared = package(document, "openssl")["licenseDeclared"]
    assert declared == "LicenseRef-0-Open-SSL AND (MIT OR ISC)"
    assert package(document, "again")["licenseDeclared"] == declared
    assert package(document, "other")["licenseDeclared"] == "LicenseRef-1-Open-SSL"
    named = {one["licenseId"]: one["name"] for one in document["hasExtractedLicensingInfos"]}
    assert named == {"LicenseRef-0-Open-SSL": "Open/SSL", "LicenseRef-1-Open-SSL": "Open SSL"}


def test_texts_of_licences_and_pedigree_are_kept() -> None:
    texts = [LicenseText("a/LICENSE", "Permission"), LicenseText("a/huge", None)]
    document = converted(
        Embedded(texts=texts), origin="sdist", filename="alpha-1.0.tar.gz", sha256="b" * 64
    )
    own, source = (one for one in document["packages"] if one["name"] == "alpha")
    assert own["attributionTexts"] == ["a/LICENSE\n\nPermission"]
    assert own["comment"].startswith("Built from its sdist, alpha-1.0.tar.gz")
    assert source["checksums"][0]["checksumValue"] == "b" * 64
    assert ("alpha", "ANCESTOR_OF", "alpha") in related(document)


@pytest.mark.parametrize("said", ["LicenseRef-Mine AND MIT", "LicenseRef-Mine"])
def test_licences_of_an_author_are_defined(said: str) -> None:
    document = converted(license=said, license_expression=said)
    assert package(document, "alpha")["licenseDeclared"] == said
    (one,) = document["hasExtractedLicensingInfos"]
    assert one["licenseId"] == "LicenseRef-Mine"


def test_the_same_bill_gives_the_same_document() -> None:
    assert converted() == converted()

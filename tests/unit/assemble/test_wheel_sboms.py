"""Bills of materials inside wheels: what is taken of them, and what is said of broken ones."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from layersmith.assemble import wheel
from layersmith.assemble.bill import sbom, wheel_sboms
from layersmith.assemble.collect import Part

from tests.support import wheels
from tests.unit.report import made

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.assemble.bill.wheel_sboms import Embedded

OWN = "pkg:pypi/alpha@1.0"

WEBP = {
    "type": "library",
    "bom-ref": "webp",
    "name": "libwebp",
    "version": "1.6.0",
    "purl": "pkg:generic/libwebp@1.6.0",
    "cpe": "cpe:2.3:a:webmproject:libwebp:1.6.0:*:*:*:*:*:*:*",
    "licenses": [{"license": {"id": "BSD-3-Clause"}}],
    "hashes": [{"alg": "SHA-256", "content": "a" * 64}],
    "pedigree": {
        "ancestors": [{"type": "library", "bom-ref": "webp", "name": "webp"}],
        "patches": [{"type": "backport", "diff": {"text": {"content": "x"}}}],
    },
    "externalReferences": [{"type": "of-a-later-version", "url": "https://example.org/webp"}],
}
SHARP = {"type": "library", "bom-ref": "sharp", "name": "libsharpyuv"}


def bill(*components: Any, **more: Any) -> dict[str, Any]:
    head = {"bomFormat": "CycloneDX", "specVersion": "1.7", "version": 1}
    root = {"type": "library", "bom-ref": "root", "name": "Alpha", "purl": f"{OWN}?file_name=a"}
    return {**head, "metadata": {"component": root}, "components": [*components], **more}


def part(folder: Path, bills: dict[str, Any], **files: bytes) -> Part:
    members = {
        f"alpha-1.0.dist-info/sboms/{name}": said if isinstance(said, bytes) else as_bytes(said)
        for name, said in bills.items()
    }
    named = {name.replace("_", "/"): content for name, content in files.items()}
    path = wheels.make(folder, "alpha", {"alpha/__init__.py": b"", **named, **members})
    return Part("alpha", "1.0", "wheel", wheel=wheel.read(path, "alpha"))


def as_bytes(said: Any) -> bytes:
    return json.dumps(said).encode()


def embedded(folder: Path, said: Any, **files: bytes) -> Embedded:
    return sbom.embedded([part(folder, {"a.cdx.json": said}, **files)])["alpha"]


def rendered(found: Embedded) -> dict[str, Any]:
    """Return the bill of a layer that holds the wheel; it is valid CycloneDX 1.6."""
    template = made.manifest().distributions[0]
    alpha = template.model_copy(
        update={"name": "alpha", "version": "1.0", "origin": "wheel", "requires": []}
    )
    manifest = made.manifest().model_copy(update={"distributions": [alpha]})
    text = sbom.render(manifest, {"alpha": found})
    problems = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert problems is None, problems
    result: dict[str, Any] = json.loads(text)
    return result


def test_components_stand_below_their_distribution_with_their_edges(tmp_path: Path) -> None:
    edges = [
        {"ref": "root", "dependsOn": ["webp"]},
        {"ref": "webp", "dependsOn": ["sharp"]},
    ]
    found = embedded(tmp_path, bill(WEBP, SHARP, dependencies=edges))
    assert found.problems == []
    document = rendered(found)
    webp, sharp = document["components"][0]["components"]
    assert {key: webp[key] for key in ("name", "version", "purl", "cpe", "licenses", "hashes")} == {
        key: WEBP[key] for key in ("name", "version", "purl", "cpe", "licenses", "hashes")
    }
    assert webp["pedigree"]["patches"] == WEBP["pedigree"]["patches"]  # type: ignore[index]
    assert webp["externalReferences"][0]["type"] == "other"
    needs = {one["ref"]: one["dependsOn"] for one in document["dependencies"]}
    assert needs[OWN] == [webp["bom-ref"]]
    assert needs[webp["bom-ref"]] == [sharp["bom-ref"]]
    assert "compositions" not in document


def test_references_are_unique_across_bills_and_come_in_one_order(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one = part(tmp_path, {"b.cdx.json": bill(WEBP, SHARP, SHARP), "a.cdx.json": bill(WEBP)})
    two = part(
        tmp_path / "other", {"a.cdx.json": bill(WEBP), "b.cdx.json": bill(WEBP, SHARP, SHARP)}
    )
    found, other = sbom.embedded([one])["alpha"], sbom.embedded([two])["alpha"]
    assert found == other
    refs = [component["bom-ref"] for component in found.components]
    assert len({*refs}) == 4
    assert refs[0].endswith("a.cdx.json/webp")
    assert found.problems == ["b.cdx.json: several components have the bom-ref 'sharp'"]
    rendered(found)


def test_a_root_that_is_not_the_distribution_is_a_component(tmp_path: Path) -> None:
    root = {"type": "library", "bom-ref": "r", "name": "alpha", "purl": "pkg:cargo/alpha@0.3"}
    said = bill(metadata={"component": root})
    (component,) = embedded(tmp_path, said).components
    assert component["purl"] == "pkg:cargo/alpha@0.3"


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = SHARP
    for _ in range(depth):
        inner = {"type": "library", "name": "x", "components": [inner]}
    return inner


ODD_LICENSES = [{"license": {"id": "Apache 2"}}, {"expression": "MIT OR Zlib"}]
OTHER = {"type": "library", "name": "alpha", "purl": "pkg:pypi/alpha@0.9"}


@pytest.mark.parametrize(
    "listed",
    [
        {"metadata": {"tools": {"components": [{"bom-ref": "tool", "name": "hatchling"}]}}},
        {"services": [{"bom-ref": "tool", "name": "a service"}]},
        {"formulation": [{"components": [{"bom-ref": "tool", "name": "hatchling"}]}]},
    ],
    ids=["tools", "services", "formulation"],
)
def test_what_a_bill_lists_outside_its_components_is_no_loose_end(
    tmp_path: Path, listed: dict[str, Any]
) -> None:
    """platformdirs and filelock name the tools that built them, and what these need."""
    edges = [{"ref": "tool", "dependsOn": []}, {"ref": "sharp", "dependsOn": ["tool"]}]
    found = embedded(tmp_path, {**bill(SHARP, dependencies=edges), **listed})
    assert found.problems == []
    assert [one["name"] for one in found.components] == ["libsharpyuv"]
    assert found.edges == {f"{OWN}#sboms/a.cdx.json/sharp": []}
    rendered(found)


@pytest.mark.parametrize(
    ("said", "problem", "components"),
    [
        (b"{not json", "a.cdx.json is not valid CycloneDX: Invalid JSON", 0),
        (b'{"bomFormat": "\\ud800"}', "is not valid CycloneDX: Invalid JSON", 0),
        ([1], "is not valid CycloneDX", 0),
        ({"a": 1}, "is not read: it is neither CycloneDX nor SPDX", 0),
        ({"spdxVersion": "SPDX-2.3"}, "is not read: it is SPDX-2.3, and only CycloneDX is", 0),
        ({"@context": "https://spdx.org/rdf/3.0.1/x.jsonld"}, "it is SPDX-3", 0),
        (bill(nested(150)), "is not valid CycloneDX: Invalid JSON: recursion limit", 0),
        (bill(*[SHARP] * 50_000), "is not read: 50001 components; a wheel may have 10000", 0),
        (b" " * (17 << 20), "is not read: the SBOMs are larger than", 0),
        (
            bill({**SHARP, "hashes": [{"alg": "SHA-256", "content": "xyz"}]}),
            "components.0.hashes.0.content: String should match",
            0,
        ),
        (
            bill(
                WEBP,
                SHARP,
                dependencies=[
                    {"ref": "webp", "dependsOn": ["sharp"]},
                    {"ref": "sharp", "dependsOn": ["webp"]},
                ],
            ),
            "its dependencies form a loop: ",
            2,
        ),
        (
            bill(SHARP, dependencies=[{"ref": "sharp", "dependsOn": ["gone"]}]),
            "its dependencies name what it does not list: 'gone'",
            1,
        ),
        (bill(SHARP, metadata={"component": OTHER}), "it is of alpha None", 1),
    ],
)
def test_what_is_wrong_with_a_bill_is_named(
    tmp_path: Path, said: Any, problem: str, components: int
) -> None:
    found = embedded(tmp_path, said)
    assert len(found.problems) == 1
    assert problem in found.problems[0]
    assert len(found.components) == components
    document = rendered(found)
    assert document["compositions"] == [{"aggregate": "incomplete", "assemblies": [OWN]}]
    named = {"name": "layersmith:sbom-problem", "value": found.problems[0]}
    assert named in document["components"][0]["properties"]


def test_hashes_of_files_are_held_against_the_files(tmp_path: Path) -> None:
    right = hashlib.sha256(b"right").hexdigest()
    files = [
        {"type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": right}]}
        for name in ("alpha/right", "alpha/wrong", "elsewhere")
    ]
    found = embedded(tmp_path, bill(*files), alpha_right=b"right", alpha_wrong=b"wrong")
    assert ["hashes" in one for one in found.components] == [True, False, True]
    (problem,) = found.problems
    assert problem.endswith("hashes are not those of the files, and are left out: 'alpha/wrong'")


def test_fields_that_are_not_taken_are_named(tmp_path: Path) -> None:
    found = embedded(tmp_path, bill({**SHARP, "evidence": {}}, vulnerabilities=[]))
    assert found.omitted == {"evidence", "vulnerabilities"}
    properties = rendered(found)["components"][0]["properties"]
    assert {"name": "layersmith:sbom-omitted", "value": "evidence"} in properties


def test_bills_of_other_forms_are_named(tmp_path: Path) -> None:
    found = sbom.embedded([part(tmp_path, {"a.cdx.xml": b"<bom/>"})])["alpha"]
    assert found.problems == ["a.cdx.xml is not read: only CycloneDX in JSON is"]


def test_licences_are_spdx_or_names(tmp_path: Path) -> None:
    found = embedded(tmp_path, bill({**SHARP, "licenses": ODD_LICENSES}))
    assert found.components[0]["licenses"] == [
        {"license": {"name": "Apache 2"}},
        {"license": {"name": "MIT OR Zlib"}},
    ]
    rendered(found)


def test_all_components_of_a_wheel_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel_sboms, "MOST", 3)
    one = part(tmp_path, {"a.cdx.json": bill(WEBP), "b.cdx.json": bill(SHARP)})
    found = sbom.embedded([one])["alpha"]
    assert len(found.components) == 1
    assert found.problems == ["b.cdx.json is not read: 2 components; a wheel may have 3"]

"""The bill of a whole function: its code, its layers, and what the runtime provides."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from layersmith.assemble.bill import sbom
from layersmith.assemble.bill.wheel_sboms import Embedded
from layersmith.assemble.manifest import Dropped
from layersmith.base import runtimes
from layersmith.errors import BuildError
from layersmith.supply import bills
from layersmith.supply.bills import BuiltPart, FunctionCode

from tests.unit.report import made

if TYPE_CHECKING:
    from pathlib import Path

RUNTIME = runtimes.get("python3.13")


def layer(name: str, *dropped: Dropped) -> BuiltPart:
    manifest = made.manifest(layer=name).model_copy(update={"dropped": [*dropped]})
    broken = Embedded(problems=["a.cdx.json is not read"])
    return BuiltPart(manifest, json.loads(sbom.render(manifest, {"fast": broken})))


def by_part(bill: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for one in bill["components"]:
        said = {each["name"]: each["value"] for each in one["properties"]}
        found.setdefault(said["layersmith:part"], []).append(one)
    return found


def test_a_function_holds_its_code_its_layers_and_the_runtime(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def handler(event, context): ...\n")
    managed = Dropped(name="pandas", version="2.3.3", reason="brought", managed="AWSSDKPandas")
    layers = [layer("one", managed), layer("two")]
    code = FunctionCode("src", tmp_path)
    bill = bills.of_function("query", RUNTIME, "arm64", layers, code)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    parts = by_part(bill)
    assert [one["name"] for one in parts["layer"]] == ["one", "two"]
    assert [one["name"] for one in parts["layer"][0]["components"]] == ["fast", "plain"]
    (own,) = parts["code"]
    (provided,) = parts["runtime"]
    assert {one["name"]: one["version"] for one in provided["components"]} == {
        one.name: one.version for one in RUNTIME.provides
    }
    assert "boto3" in {one["name"] for one in provided["components"]}
    assert all(
        {"name": "layersmith:provided-by", "value": "AWS Lambda python3.13"} in one["properties"]
        for one in provided["components"]
    )
    (pandas,) = parts["managed-layer"]
    assert [one["purl"] for one in pandas["components"]] == ["pkg:pypi/pandas@2.3.3"]
    # The same distribution is in both layers, each with its own reference.
    refs = [one["bom-ref"] for outer in parts["layer"] for one in outer["components"]]
    assert len({*refs}) == 4
    assert "function:query/one/pkg:pypi/fast@1.0" in refs
    incomplete = {ref for one in bill["compositions"] for ref in one["assemblies"]}
    assert {provided["bom-ref"], "function:query/two/pkg:pypi/fast@1.0"} <= incomplete
    assert bill["dependencies"][0]["dependsOn"][0] == own["bom-ref"]
    assert bills.to_spdx(bill)["name"] == "query"

    serial = bill["serialNumber"]
    assert bills.of_function("query", RUNTIME, "arm64", layers, code)["serialNumber"] == serial
    (tmp_path / "app.py").write_text("def handler(event, context): return 1\n")
    assert bills.of_function("query", RUNTIME, "arm64", layers, code)["serialNumber"] != serial


@pytest.mark.parametrize("text", [None, "{", "[1]", '{"bomFormat": "SPDX"}', "[" * 100_000])
def test_a_bill_that_cannot_be_read_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "demo.cdx.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BuildError, match=r"demo\.cdx\.json is not"):
        bills.read(path)

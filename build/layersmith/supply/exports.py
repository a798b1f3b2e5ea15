"""Writes what was found about advisories for others: SARIF 2.1.0 for code scanning, CycloneDX VEX.

Both are data that follows from the report alone, so that the same report gives the same bytes.
"""

from __future__ import annotations

import json
import uuid
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from layersmith import __version__
from layersmith.supply.advisories import bump

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layersmith.supply.advisories import AdvisoryFinding, AdvisoryReport

SARIF = "https://json.schemastore.org/sarif-2.1.0.json"
NAMESPACE = uuid.UUID("5a2fb7e0-6b0c-5d51-9b0b-5b6d3f0b9b0e")
"""Fixed namespace of serial numbers (RFC 9562, version 5)."""

LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
"""Score to the level of a result; GitHub shows what stands in security-severity beside it."""

RATINGS = {"CVSS:3.0": "CVSSv3", "CVSS:3.1": "CVSSv31", "CVSS:4.0": "CVSSv4"}
"""Begin of a vector to the method of a rating (CycloneDX 1.6, scoreMethod)."""

DATA_RULE = "advisories"
"""Rule of what concerns the data or the policy and not one advisory."""


def sarif(
    report: AdvisoryReport, locate: Callable[[int | None], tuple[str, int]], below: str = "."
) -> str:
    """Return a report as SARIF.

    Results point to the pin in the first lock that names the version, and what concerns the policy
    to its line in layers.yaml. What is ignored or does not count is suppressed, with the reason.

    Args:
        report: What was found.
        locate: Gives file, relative to layers.yaml, and line of an entry of
            ``advisories.ignore``; of ``advisories`` itself for None.
        below: Path from the root of the repository to the folder of layers.yaml.
    """
    rules = {one.id: _rule(one) for one in report.findings}
    results = [_result(one, locate, below) for one in report.findings]
    said = [(text, "error", locate(None)) for text in report.problems]
    said += [(note.message, "warning", locate(note.index)) for note in report.policy]
    if report.is_stale:
        said.append((f"the data of {report.source} is of {report.dated:%Y-%m-%d}", "error",
                     locate(None)))  # fmt: skip
    if said:
        rules[DATA_RULE] = {
            "id": DATA_RULE,
            "shortDescription": {"text": "The data on advisories, or what layers.yaml says of it"},
        }
        results += [
            {
                "ruleId": DATA_RULE,
                "level": level,
                "message": {"text": text},
                "locations": [_location(below, *place)],
            }
            for text, level, place in said
        ]
    driver = {
        "name": "layersmith advisories",
        "semanticVersion": __version__,
        "rules": list(rules.values()),
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True}],
        "results": results,
    }
    return _written({"$schema": SARIF, "version": "2.1.0", "runs": [run]})


def _rule(one: AdvisoryFinding) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "id": one.id,
        "shortDescription": {"text": one.summary or one.id},
        "helpUri": one.url,
        "properties": {"tags": ["security", *one.aliases]},
    }
    if one.score is not None:
        rule["properties"]["security-severity"] = f"{one.score:.1f}"
    return rule


def _result(
    one: AdvisoryFinding, locate: Callable[[int | None], tuple[str, int]], below: str
) -> dict[str, Any]:
    place = (one.file, one.line or 1) if one.file else locate(None)
    fixed = f"fixed in {one.fixed}" if one.fixed else "not fixed in any version"
    text = f"{one.subject} has {one.id} ({one.level}), {fixed}; {bump(one)}."
    if one.not_loaded:
        text += " No proof loads a file of it."
    result: dict[str, Any] = {
        "ruleId": one.id,
        "level": LEVELS.get(one.severity, "error"),
        "message": {"text": text},
        "locations": [_location(below, *place)],
        "partialFingerprints": {"advisory/v1": f"{one.id} {one.purl} {one.role}"},
        "properties": {"targets": one.targets, "state": one.state, "role": one.role},
    }
    if not one.counts:
        reason = one.reason or f"it is {one.severity}, and the policy asks for more"
        result["suppressions"] = [{"kind": "external", "justification": reason}]
    return result


def _location(below: str, file: str, line: int) -> dict[str, Any]:
    path = PurePosixPath(below, file).as_posix()
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(path), "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": line},
        }
    }


def vex(report: AdvisoryReport, bills: Mapping[str, str]) -> str:
    """Return a report as a CycloneDX 1.6 VEX document.

    What the zip does not hold is ``not_affected``. What no proof loaded is ``in_triage`` with the
    evidence: that the proofs did not reach it does not mean that no function will.

    Args:
        report: What was found.
        bills: Identifier of a target -> serial number of its SBOM, as far as it was built.
    """
    content = report.model_dump_json(include={"findings"})
    components = {one.purl: _component(one) for one in report.findings}
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, content)}",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [
                    {"type": "application", "name": "layersmith", "version": __version__}
                ]
            }
        },
        "components": list(components.values()),
        "vulnerabilities": [_vulnerability(one) for one in report.findings],
    }
    links = [
        {"type": "bom", "url": f"urn:cdx:{serial.removeprefix('urn:uuid:')}/1", "comment": target}
        for target, serial in sorted(bills.items())
        if serial
    ]
    if links:
        document["externalReferences"] = links
    return _written(document)


def _component(one: AdvisoryFinding) -> dict[str, Any]:
    found = {
        "type": "library",
        "bom-ref": one.purl,
        "name": one.package,
        "version": one.version,
        "purl": one.purl,
    }
    return found if one.version else {key: found[key] for key in found if key != "version"}


def _vulnerability(one: AdvisoryFinding) -> dict[str, Any]:
    rating: dict[str, Any] = {"severity": one.severity}
    if one.score is not None and one.vector:
        rating |= {
            "score": one.score,
            "method": RATINGS.get(one.vector[:8], "CVSSv2"),
            "vector": one.vector,
        }
    return {
        "bom-ref": f"{one.id} {one.purl} {one.role}",
        "id": one.id,
        "source": {"name": "OSV", "url": one.url},
        "references": [
            {"id": name, "source": {"name": "OSV", "url": f"https://osv.dev/vulnerability/{name}"}}
            for name in one.aliases
        ],
        "ratings": [rating],
        "description": one.summary,
        "recommendation": f"Upgrade to {one.fixed}." if one.fixed else "There is no fix yet.",
        "analysis": _analysis(one),
        "affects": [{"ref": one.purl}],
        "properties": [
            {"name": "layersmith:targets", "value": ", ".join(one.targets)},
            {"name": "layersmith:state", "value": one.state},
            {"name": "layersmith:role", "value": one.role},
            *(
                {
                    "name": "layersmith:not-loaded",
                    "value": f"{it.target}: {it.files} files; {', '.join(it.proofs)}; {it.runner}",
                }
                for it in one.not_loaded
            ),
        ],
    }


def _analysis(one: AdvisoryFinding) -> dict[str, Any]:
    if one.state == "left out":
        return {
            "state": "not_affected",
            "justification": "code_not_present",
            "detail": f"Locked, and not in the zip: {one.reason}.",
        }
    detail = "Not assessed."
    if one.not_loaded:
        files = sum(it.files for it in one.not_loaded)
        proofs = ", ".join(dict.fromkeys(name for it in one.not_loaded for name in it.proofs))
        detail = (
            f"Not loaded by any proof: none of its {files} files in {len(one.not_loaded)} targets"
            f" was opened, imported or mapped by {proofs}. Code that no proof runs may load it."
        )
    if one.state == "ignored":
        detail = f"Accepted: {one.reason}. {detail}"
    found: dict[str, Any] = {"state": "in_triage", "detail": detail}
    if one.fixed:
        found["response"] = ["update"]
    return found


def _written(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

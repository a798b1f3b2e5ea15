import json
import re
from pathlib import Path

import pytest
from layersmith.audit import findings
from layersmith.audit.findings import CODES, AuditReport, Finding, Severity
from layersmith.errors import AuditError

ROOT = Path(__file__).parents[3]


def finding(code: str, path: str, distribution: str = "pillow", **changes: str) -> Finding:
    values = {
        "code": code,
        "severity": Severity.ERROR,
        "path": path,
        "distribution": distribution,
        "what": f"{path} is wrong",
        "cause": f"cause of {code}",
        "next": f"step for {code}",
    }
    return Finding.model_validate({**values, **changes})


def report(*found: Finding) -> AuditReport:
    return AuditReport(
        identifier="imaging-python3.13-arm64",
        runtime="python3.13",
        architecture="arm64",
        files=9,
        elf_files=3,
        machines=["aarch64"],
        highest={"GLIBC": "2.17"},
        findings=findings.ordered(found),
    )


def test_warnings_alone_pass() -> None:
    passed = report(finding("PATH-CASE", "python/a", severity="warning"))
    passed.raise_for_errors()
    assert passed.ok
    assert passed.record().model_dump() == {
        "elf_files": 3,
        "machine": "aarch64",
        "highest": {"GLIBC": "2.17"},
        "warnings": ["PATH-CASE: python/a is wrong"],
        "accepted": {},
    }


def test_the_error_names_the_root_cause_first_and_everything_once() -> None:
    refused = report(
        finding("NEEDED-MISSING", "python/PIL/_webp.so"),
        finding("ELF-MACHINE", "python/pillow.libs/libtiff.so"),
        finding("ELF-MACHINE", "python/PIL/_webp.so"),
        finding("ELF-MACHINE", "python/PIL/_imaging.so"),
        finding("PATH-CASE", "python/x", severity="warning"),
    )
    with pytest.raises(AuditError) as raised:
        refused.raise_for_errors()
    expected = """\
imaging-python3.13-arm64: the audit rejected this layer:
    ELF-MACHINE: python/PIL/_imaging.so is wrong (and 2 more files of pillow: _webp, libtiff)
    NEEDED-MISSING: python/PIL/_webp.so is wrong
  likely cause: cause of ELF-MACHINE
  next: step for ELF-MACHINE"""
    assert str(raised.value) == expected
    assert raised.value.exit_code == 6


def test_one_distribution_does_not_hide_another() -> None:
    groups = findings.grouped(
        [finding("ELF-MACHINE", "python/b.so", "b"), finding("ELF-MACHINE", "python/a.so", "a")]
    )
    assert [group[0].distribution for group in groups] == ["a", "b"]


def test_the_report_is_versioned_json() -> None:
    written = report(finding("SYMLINK", "python/a"))
    again = AuditReport.model_validate_json(json.dumps(written.model_dump(mode="json")))
    assert again == written
    assert again.format == 1


def test_every_code_is_used_and_documented() -> None:
    sources = "".join(
        path.read_text("utf-8") for path in (ROOT / "build/layersmith/audit").glob("*.py")
    )
    used = set(re.findall(r'"((?:[A-Z]+-)?[A-Z]+)"', sources)) & set(CODES)
    by_prefix = {code for code in CODES if code.startswith("VERSION-")}
    assert used | by_prefix == set(CODES)
    documented = set(
        re.findall(r"^\| `([A-Z0-9-]+)`", (ROOT / "docs/audit.md").read_text("utf-8"), re.MULTILINE)
    )
    assert documented == set(CODES)

"""The gate of licences: expressions, names that stand for several, and parts of a wheel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.assemble.bill.licenses import canonical
from layersmith.audit import licenses
from layersmith.audit.findings import Severity
from layersmith.config.models import Config
from layersmith.config.trust import Licenses
from layersmith.errors import AuditError
from pydantic import ValidationError

from tests.unit.audit.layers import judge, layer, only

if TYPE_CHECKING:
    from layersmith.audit.findings import AuditReport

METADATA = "python/fast-1.0.dist-info/METADATA"
BILL = "python/fast-1.0.dist-info/sboms/a.cdx.json"
GCC = "GPL-3.0-or-later WITH GCC-exception-3.1"


def gate(allow: str = "", deny: str = "") -> Licenses:
    """Return a gate; entries are divided by commas."""
    lists = {"allow": allow.split(",") if allow else [], "deny": deny.split(",") if deny else []}
    layers = {"a": {"description": "a", "version": "1.0.0", "requirements": ["a"],
                    "runtimes": ["python3.13"], "licenses": lists}}  # fmt: skip
    return Config.model_validate({"layers": layers}).layers["a"].licenses


def judged(said: str, one: Licenses, parts: Any = None, **more: Any) -> AuditReport:
    """Judge a layer with one distribution whose METADATA has some lines."""
    files = layer(**{METADATA: f"Name: fast\nVersion: 1.0\n{said}\n".encode()})
    if parts:
        bill = {"bomFormat": "CycloneDX", "components": parts}
        files[BILL] = json.dumps(bill).encode()
    return judge(files, licenses=one, **more)


@pytest.mark.parametrize(
    ("expression", "allow", "deny", "passed"),
    [
        ("MIT", "MIT", "", True),
        ("MIT", "ISC", "", False),
        ("MIT", "", "MIT", False),
        ("MIT", "MIT", "MIT", False),
        ("MIT OR GPL-3.0-only", "MIT", "", True),
        ("GPL-3.0-only OR MIT", "", "GPL-*", True),
        ("MIT AND GPL-3.0-only", "", "GPL-*", False),
        ("MIT AND ISC", "MIT", "", False),
        ("ISC OR MIT AND Zlib", "MIT", "", False),
        ("ISC OR MIT AND Zlib", "MIT,Zlib", "", True),
        ("(ISC OR MIT) AND Zlib", "MIT,Zlib", "", True),
        ("(ISC OR MIT) AND Zlib", "MIT", "", False),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", "MIT,MPL-2.0", "Apache-2.0", True),
        (GCC, GCC, "", True),
        (GCC, "GPL-3.0-or-later", "", True),
        (GCC, "", "GPL-3.0-or-later", False),
        ("GPL-3.0-or-later", GCC, "", False),
        ("GPL-3.0-or-later", "", GCC, True),
        ("GPL-3.0", "", "GPL-3.0-only", False),
        ("GPL-3.0+", "GPL-3.0-or-later", "", True),
        ("LGPL-2.1-or-later", "", "GPL-*", True),
        ("LicenseRef-Mine", "LicenseRef-Mine", "", True),
        ("mit", "MIT", "", True),
    ],
)
def test_expressions(expression: str, allow: str, deny: str, passed: bool) -> None:
    report = judged(f"License-Expression: {expression}", gate(allow, deny))
    assert report.ok is passed, report.findings
    if not passed:
        found = only(report)
        assert (found.code, found.distribution) == ("LICENSE-DENIED", "fast")
        assert str(canonical(expression)) in found.what


OSI = "Classifier: License :: OSI Approved :: "


@pytest.mark.parametrize(
    ("said", "allow", "deny", "code", "severity"),
    [
        ("", "MIT", "", "LICENSE-UNKNOWN", Severity.ERROR),
        ("", "", "MIT", "LICENSE-UNKNOWN", Severity.WARNING),
        ("License: see the web", "MIT", "", "LICENSE-UNKNOWN", Severity.ERROR),
        (f"{OSI}BSD License", "BSD-3-Clause", "", "LICENSE-UNKNOWN", Severity.ERROR),
        (f"{OSI}BSD License", "*BSD*", "", None, None),
        (f"{OSI}GNU General Public License v3 (GPLv3)", "", "GPL-*", "LICENSE-DENIED",
         Severity.ERROR),
        (f"{OSI}GNU General Public License v3 (GPLv3)", "MIT", "", "LICENSE-DENIED",
         Severity.ERROR),
        (f"{OSI}MIT License\n{OSI}BSD License", "MIT,*BSD*", "", None, None),
    ],
)  # fmt: skip
def test_names_that_are_not_certain(
    said: str, allow: str, deny: str, code: str | None, severity: Severity | None
) -> None:
    report = judged(said, gate(allow, deny))
    if code is None:
        assert report.findings == []
        return
    found = only(report)
    assert (found.code, found.severity) == (code, severity)


def test_parts_of_a_wheel_are_judged_too() -> None:
    parts = [
        {"type": "library", "name": "quant", "licenses": [{"license": {"id": "GPL-3.0-only"}}]},
        {"type": "library", "name": "jpeg", "licenses": [{"expression": "IJG"}]},
    ]
    mit = "License-Expression: MIT"
    found = only(judged(mit, gate("MIT,IJG", "GPL-*"), parts))
    assert (found.code, found.severity) == ("LICENSE-PART", Severity.ERROR)
    assert "denies: quant (GPL-3.0-only)" in found.what
    assert found.key == "licenses.deny"
    beyond = only(judged(mit, gate("MIT"), parts))
    assert (beyond.code, beyond.severity) == ("LICENSE-PART", Severity.WARNING)
    assert beyond.key == "licenses.allow"
    assert judged(mit, gate("MIT,IJG,GPL-3.0-only"), parts).findings == []


def test_few_of_many_parts_are_spelled() -> None:
    parts = [
        {"type": "library", "name": f"part{number}", "licenses": [{"expression": "IJG"}]}
        for number in range(licenses.SHOWN + 1)
    ]

    def said(count: int) -> str:
        return only(judged("License-Expression: MIT", gate("MIT"), parts[:count])).what

    assert f"part{licenses.SHOWN - 1} (IJG)" in said(licenses.SHOWN)
    assert "more" not in said(licenses.SHOWN)
    assert said(licenses.SHOWN + 1).endswith(f"part{licenses.SHOWN - 1} (IJG) and 1 more")


def test_local_packages_are_the_users_own_and_exceptions_have_a_reason() -> None:
    assert judged("", gate("MIT"), mine=["fast"]).findings == []
    assert judged("", gate()).findings == []
    report = judged("", gate("MIT"), accepted={"LICENSE-UNKNOWN fast": "asked its author"})
    assert report.ok
    assert report.record().accepted == {"LICENSE-UNKNOWN fast": "asked its author"}


def test_the_error_names_the_line() -> None:
    report = judged("License-Expression: MIT", gate("ISC"))
    with pytest.raises(AuditError) as refused:
        report.raise_for_errors(lambda key: (Path("layers.yaml"), len(key), 3))
    assert "fast is licensed under MIT, and `licenses` does not allow MIT" in str(refused.value)
    assert "(layers.yaml:14:3)" in str(refused.value)
    assert refused.value.place == ("layers.yaml", 14, 3)


@pytest.mark.parametrize("entry", ["GPL", "Appache-2.0", "MIT OR ISC", "(MIT)", "", "GPL 3*"])
def test_what_would_never_match_is_refused(entry: str) -> None:
    with pytest.raises(ValidationError):
        Licenses.model_validate({"deny": [entry]})

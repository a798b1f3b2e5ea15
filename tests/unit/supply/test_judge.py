"""What of the advisories counts, by the policy; and what is said of those that do not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from layersmith.config.trust import AdvisoryPolicy
from layersmith.supply import advisories, osv, subjects
from layersmith.supply.feeds import Answers

from tests.support.advisories import CRITICAL, LOW, advisory
from tests.unit.report import made

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def subject(role: subjects.Role = "layer", name: str = "demo") -> subjects.AdvisorySubject:
    place = subjects.LockPlace("demo-python3.13-arm64", "locks/demo.txt", 12)
    return subjects.distribution(name, "1.0", role, place)


def policy(**given: Any) -> AdvisoryPolicy:
    return AdvisoryPolicy.model_validate(given)


def judged(
    *records: dict[str, Any], of: subjects.AdvisorySubject | None = None, **more: Any
) -> advisories.AdvisoryReport:
    one = of or subject()
    read = [osv.read(json.dumps(record).encode()) for record in records]
    dated = more.pop("dated", NOW)
    answers = Answers("a folder", {one.question: read}, dated=dated, covers={"PyPI"})
    rules = more.pop("rules", policy())
    return advisories.judge([one], answers, rules, now=NOW, **more)


def test_an_advisory_under_several_names_is_one() -> None:
    report = judged(
        advisory("demo", "PYSEC-2026-1", aliases=["CVE-2026-1"], vector=None),
        advisory("demo", "GHSA-aaaa-bbbb-cccc", aliases=["CVE-2026-1"], fixed="2.1"),
        advisory("demo", "OTHER-1", aliases=["GHSA-aaaa-bbbb-cccc"], vector=LOW),
        advisory("demo", "CVE-2026-2"),
    )
    assert [one.id for one in report.findings] == ["CVE-2026-1", "CVE-2026-2"]
    one = report.findings[0]
    assert one.aliases == ["GHSA-aaaa-bbbb-cccc", "PYSEC-2026-1", "OTHER-1"]
    assert (one.severity, one.score, one.fixed) == ("critical", 9.8, "2.1")
    assert (one.file, one.line) == ("locks/demo.txt", 12)


def test_withdrawn_advisories_are_passed_over_and_counted() -> None:
    report = judged(advisory("demo", withdrawn="2026-11-21T00:00:00Z"))
    assert (report.findings, report.withdrawn, report.ok) == ([], ["PYSEC-2026-1"], True)


@pytest.mark.parametrize(
    ("vector", "severity", "counts"),
    [
        (LOW, "low", True),
        (LOW, "medium", False),
        (CRITICAL, "critical", True),
        (None, "critical", True),
    ],
)
def test_what_counts_follows_from_the_severity(
    vector: str | None, severity: str, counts: bool
) -> None:
    report = judged(advisory("demo", vector=vector), rules=policy(severity=severity))
    assert [one.state for one in report.findings] == ["open" if counts else "below"]
    assert report.ok is not counts


@pytest.mark.parametrize(
    ("ignore", "fixed", "state", "note"),
    [
        ({"id": "cve-2026-1", "until": "2026-11-26"}, "2.0", "ignored", None),
        ({"id": "CVE-2026-1", "until": "2026-11-25"}, "2.0", "open", "ended"),
        ({"id": "PYSEC-2026-1", "until-fixed": True}, None, "ignored", None),
        ({"id": "PYSEC-2026-1", "until-fixed": True}, "2.0", "open", "ended"),
        ({"id": "CVE-2026-9", "until": "2027-01-01"}, "2.0", "open", "matches nothing"),
    ],
)
def test_an_ignored_advisory_ends(
    ignore: dict[str, Any], fixed: str | None, state: str, note: str | None
) -> None:
    rules = policy(ignore=[{**ignore, "reason": "never called"}])
    report = judged(advisory("demo", aliases=["CVE-2026-1"], fixed=fixed), rules=rules)
    assert [one.state for one in report.findings] == [state]
    assert [one.what for one in report.policy] == ([note] if note else [])
    assert report.ok is (state == "ignored")
    if state == "ignored":
        assert report.findings[0].reason == "never called"
    if note == "ended":
        [error] = advisories.errors(report, lambda _: ("layers.yaml", 7))
        assert error.place[:2] == ("layers.yaml", 7)
        assert "ignored until" in str(error)


def test_a_filtered_run_does_not_call_an_entry_unused() -> None:
    rules = policy(ignore=[{"id": "CVE-2026-9", "reason": "because", "until": "2027-01-01"}])
    assert judged(rules=rules, whole=False).policy == []


@pytest.mark.parametrize(
    ("day", "stale"), [(19, False), (18, True)], ids=["seven days", "eight days"]
)
def test_old_data_is_a_finding(day: int, stale: bool) -> None:
    report = judged(dated=datetime(2026, 11, day, tzinfo=UTC))
    assert report.ok is not stale
    said = [str(error) for error in advisories.errors(report, lambda _: ("layers.yaml", 1))]
    assert [text.partition("\n")[0] for text in said] == (
        ["the data of a folder is 8 days old, and `max-age` allows 7 days"] if stale else []
    )


def test_what_the_zip_does_not_hold_is_reported_and_does_not_count() -> None:
    report = judged(advisory("demo"), of=subject("left out"))
    assert [one.state for one in report.findings] == ["left out"]
    assert report.ok


def test_what_no_proof_loaded_is_said_and_counts_unless_the_policy_warns() -> None:
    manifest = made.manifest({"demo": {"python/demo/a.py": 1, "python/demo/b.py": 1}})
    seen = advisories.Watched(manifest, {"python/other.py"}, ["smoke.py"], "docker")
    watched = {"demo-python3.13-arm64": seen}
    report = judged(advisory("demo"), watched=watched)
    [one] = report.findings
    assert (one.state, one.not_loaded[0].files) == ("open", 2)
    [one] = judged(
        advisory("demo"), watched=watched, rules=policy(**{"not-loaded": "warn"})
    ).findings
    assert (one.state, one.counts) == ("not loaded", False)
    loads = advisories.Watched(manifest, {"python/demo/b.py"}, ["smoke.py"], "docker")
    watched = {"demo-python3.13-arm64": loads}
    assert judged(advisory("demo"), watched=watched).findings[0].not_loaded == []


def test_a_bundled_library_is_its_own_files_where_it_has_some() -> None:
    webp, tiff = "python/pillow.libs/libwebp-b5a3ae8e.so.7.1.8", "python/pillow.libs/libtiff.so.6"
    manifest = made.manifest({"pillow": {webp: 1, tiff: 1, "python/PIL/_imaging.so": 1}})
    for name, found in {"libwebp": [webp], "libjpeg / libtiff": [tiff]}.items():
        one = subjects.AdvisorySubject(name, "1", "bundled", (), "pkg:generic/x", "pillow")
        assert advisories.files_of(one, manifest) == found
    linked = subjects.AdvisorySubject("FreeType", "1", "bundled", (), "pkg:generic/x", "pillow")
    assert len(advisories.files_of(linked, manifest)) == 3

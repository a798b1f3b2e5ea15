"""Which versions an advisory is about, how severe it is, and what is not one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from layersmith.supply import osv

from tests.support.advisories import CRITICAL, LOW, advisory

DEMO = [("PyPI", "demo")]


def about(version: str, *events: dict[str, str], packages: Any = DEMO, **more: Any) -> Any:
    """Return the match of a version with one range."""
    ecosystem, name = packages[0]
    made = advisory(name, ecosystem=ecosystem, **more)
    if events:
        made["affected"][0]["ranges"] = [{"type": "ECOSYSTEM", "events": list(events)}]
    return osv.match(osv.read(json.dumps(made).encode()), packages, version)


FROM_START = {"introduced": "0"}


@pytest.mark.parametrize(
    ("version", "events", "fixed"),
    [
        ("1.9", [FROM_START, {"fixed": "2.0"}], "2.0"),
        ("2.0", [FROM_START, {"fixed": "2.0"}], False),
        ("2.0rc1", [FROM_START, {"fixed": "2.0"}], "2.0"),
        ("2.0+cpu", [FROM_START, {"fixed": "2.0"}], False),
        ("1!0.5", [FROM_START, {"fixed": "2.0"}], False),
        ("10.0", [FROM_START, {"fixed": "9.0"}], False),
        ("1.5", [{"introduced": "1.6"}, {"fixed": "2.0"}], False),
        ("1.6", [{"introduced": "1.6"}, {"fixed": "2.0"}], "2.0"),
        ("2.0", [FROM_START, {"last_affected": "2.0"}], None),
        ("2.0+cpu", [FROM_START, {"last_affected": "2.0"}], None),
        ("2.0.1", [FROM_START, {"last_affected": "2.0"}], False),
        ("3.1", [{"fixed": "3.2"}, {"introduced": "3.0"}, {"fixed": "2.1"}, FROM_START], "3.2"),
        ("2.5", [{"fixed": "3.2"}, {"introduced": "3.0"}, {"fixed": "2.1"}, FROM_START], False),
    ],
)
def test_ranges_are_compared_as_pep_440_says(
    version: str, events: list[dict[str, str]], fixed: str | bool | None
) -> None:
    found = about(version, *events)
    assert (found.fixed if found else False) == fixed
    assert not (found and found.doubts)


def test_listed_versions_count_beside_ranges_and_names_are_normalized() -> None:
    made = advisory("Demo_Package", fixed="1.0")
    made["affected"][0]["versions"] = ["3.0.0"]
    record = osv.read(json.dumps(made).encode())
    assert osv.match(record, [("PyPI", "demo-package")], "3.0")
    assert osv.match(record, [("PyPI", "demo-package")], "0.9")
    assert not osv.match(record, [("PyPI", "demo-package")], "2.0")
    assert not osv.match(record, [("PyPI", "demo")], "0.9")
    assert not osv.match(record, [("npm", "demo-package")], "0.9")


@pytest.mark.parametrize(
    "change",
    [
        {"events": [FROM_START, {"fixed": "the next one"}]},
        {"events": [{"introduced": "long ago"}, {"fixed": "2.0"}]},
        {"events": []},
        {"ranges": []},
    ],
)
def test_what_cannot_be_compared_counts_as_affected_and_is_said(change: dict[str, Any]) -> None:
    made = advisory("demo")
    place = made["affected"][0] if "ranges" in change else made["affected"][0]["ranges"][0]
    place.update(change)
    found = osv.match(osv.read(json.dumps(made).encode()), DEMO, "1.0")
    assert found
    assert found.doubts


@pytest.mark.parametrize(
    ("ecosystem", "version", "fixed", "affected"),
    [
        ("AlmaLinux:8", "1.1.1k-9.el8", "1.1.1k-12.el8_9", True),
        ("AlmaLinux:8", "1.1.1k-12.el8_9", "1.1.1k-12.el8_9", False),
        ("AlmaLinux:9", "1.1.1k-9.el8", "1.1.1k-12.el8_9", False),
        ("Debian:12", "1:2.0~rc1-1", "1:2.0-1", True),
        ("Debian:12", "1:2.0-1", "3.0-1", False),
    ],
)
def test_packages_of_systems_are_compared_by_their_own_order(
    ecosystem: str, version: str, fixed: str, affected: bool
) -> None:
    made = advisory("openssl-libs", ecosystem=ecosystem, fixed=fixed)
    ours = [("AlmaLinux:8" if "Alma" in ecosystem else "Debian:12", "openssl-libs")]
    assert bool(osv.match(osv.read(json.dumps(made).encode()), ours, version)) is affected


def test_projects_of_c_are_found_by_their_tags() -> None:
    made = advisory("libwebp", ecosystem="OSS-Fuzz")
    made["affected"][0] |= {
        "ranges": [
            {
                "type": "GIT",
                "repo": "https://chromium.googlesource.com/webm/libwebp.git",
                "events": [FROM_START],
            }
        ],
        "versions": ["v1.3.1", "v1.3.0"],
    }
    record = osv.read(json.dumps(made).encode())
    assert osv.match(record, [("OSS-Fuzz", "libwebp")], "1.3.1")
    assert osv.match(record, [("GIT", "chromium.googlesource.com/webm/libwebp")], "1.3.1")
    assert not osv.match(record, [("OSS-Fuzz", "libwebp")], "1.3.2")


@pytest.mark.parametrize(
    ("vector", "level", "score"),
    [
        (CRITICAL, "critical", 9.8),
        (LOW, "low", 1.8),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", "critical", 9.3),
        ("AV:N/AC:L/Au:N/C:P/I:P/A:P", "high", 7.5),
        (None, "unknown", None),
        ("CVSS:3.1/AV:X", "unknown", None),
    ],
)
def test_severity_follows_from_the_vector(
    vector: str | None, level: str, score: float | None
) -> None:
    found = osv.severity(osv.read(json.dumps(advisory("demo", vector=vector)).encode()))
    assert (found.level, found.score) == (level, score)
    assert bool(found.doubts) is (vector == "CVSS:3.1/AV:X")


def test_without_a_vector_the_database_says_how_severe_it_is() -> None:
    made = advisory("demo", vector=None, database_specific={"severity": "MODERATE"})
    assert osv.severity(osv.read(json.dumps(made).encode())).level == "medium"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[]", "the record"),
        (b"{}", "id: Field required"),
        (b"{", "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (json.dumps({"id": "../../etc/passwd"}).encode(), "id: "),
        (json.dumps({"id": "A-1", "affected": "all of them"}).encode(), "affected: "),
        (b" " * (osv.LARGEST + 1), "it is larger than"),
    ],
)
def test_what_is_not_a_record_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(osv.UnreadableRecord, match=said):
        osv.read(content)


def test_dates_of_yaml_are_of_utc() -> None:
    record = osv.read(b"{id: PYSEC-1, modified: 2023-09-25T17:12:36Z}", as_yaml=True)
    assert record.modified and record.modified.isoformat() == "2023-09-25T17:12:36+00:00"

"""`advisories` against an OSV service on loopback and against databases that tests write."""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema import Draft7Validator
from layersmith import cli
from layersmith.base import http
from layersmith.lock import document
from layersmith.supply import feeds

from tests.support import advisories, envelopes
from tests.support.advisories import advisory
from tests.unit.report import made

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.advisories import OsvService

CONFIG = """\
layers:
  demo:
    description: d
    version: 1.0.0
    runtimes: [python3.13]
    requirements: [alpha, beta]
    excludes: {beta: not needed}
advisories:
  severity: high
  ignore:
    - {id: CVE-2026-7, reason: never called, until: 2099-01-01}
"""

LOCK = document.Lock(
    entries=[
        document.LockEntry("alpha", "1.0", "a" * 64, "alpha-1.0-py3-none-any.whl"),
        document.LockEntry("beta", "1.0", "b" * 64, "beta-1.0-py3-none-any.whl"),
        document.LockEntry(
            "gamma", "1.0", "c" * 64, "gamma-1.0.tar.gz", build=("zig==0.17.0", "setuptools==70.0")
        ),
    ],
    inputs_digest="d" * 64,
    parts={},
)


def bill(*components: dict[str, Any]) -> str:
    """Return the SBOM of a layer whose alpha bundles something."""
    holder = {"type": "library", "name": "alpha", "version": "1.0", "components": components}
    serial = "urn:uuid:0b0f4a52-6ef2-4f0f-9d3e-3f6d1c2a7a10"
    return json.dumps({"bomFormat": "CycloneDX", "serialNumber": serial, "components": [holder]})


WEBP = {"type": "library", "name": "libwebp", "version": "1.3.1"}
SSL = {
    "type": "library",
    "name": "openssl-libs",
    "version": "1.1.1k-9.el8",
    "purl": "pkg:rpm/almalinux/openssl-libs@1.1.1k-9.el8",
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A locked layer that is built, as far as manifest and SBOM say."""
    (tmp_path / "layers.yaml").write_text(CONFIG)
    document.write(LOCK, tmp_path / "locks/demo-python3.13-arm64.txt", "demo-python3.13-arm64")
    (tmp_path / "dist").mkdir()
    stem = tmp_path / "dist/demo-1.0.0-python3.13-arm64"
    stem.with_name(f"{stem.name}.json").write_text(
        made.manifest({"alpha": {"python/alpha/__init__.py": 1}}).model_dump_json()
    )
    stem.with_name(f"{stem.name}.cdx.json").write_text(bill(WEBP, SSL))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(http, "PAUSE", 0.01)
    monkeypatch.setattr(http, "ATTEMPTS", 2)
    return tmp_path


@pytest.fixture
def service() -> Iterator[OsvService]:
    with advisories.serving() as found:
        yield found


class Ran:
    """What a run of the verb came to."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *words: str) -> None:
        capsys.readouterr()
        self.code = cli.main(["advisories", *words, "--json"])
        said = capsys.readouterr()
        self.talk = said.err
        self.envelope = envelopes.envelope_of(said.out)
        self.report: dict[str, Any] = {}
        if self.envelope["data"]:
            [self.report] = envelopes.data_of(said.out)["reports"]

    @property
    def found(self) -> dict[str, str]:
        """Advisories and their states."""
        return {one["id"]: one["state"] for one in self.report["findings"]}


def everything() -> list[dict[str, Any]]:
    """Return an advisory on whatever the layer has, in each way that it may have it."""
    webp = advisory("libwebp", "OSV-2026-6", ecosystem="OSS-Fuzz")
    webp["affected"][0] |= {"ranges": [], "versions": ["v1.3.1"]}
    return [
        advisory("alpha", "PYSEC-2026-1", aliases=["CVE-2026-1"]),
        advisory("beta", "PYSEC-2026-2"),
        advisory("gamma", "PYSEC-2026-3", vector=advisories.LOW),
        advisory("setuptools", "PYSEC-2026-4", fixed="80.0"),
        advisory("openssl-libs", "ALSA-2026:5", ecosystem="AlmaLinux:8", fixed="1.1.1k-12.el8_9"),
        webp,
        advisory("alpha", "CVE-2026-7"),
        advisory("alpha", "PYSEC-2026-8", withdrawn="2026-11-21T00:00:00Z"),
        advisory("ziglang", "PYSEC-2026-9", fixed="0.18"),
    ]


STATES = {
    "CVE-2026-1": "open",
    "PYSEC-2026-2": "left out",
    "PYSEC-2026-3": "below",
    "PYSEC-2026-4": "open",
    "ALSA-2026:5": "open",
    "OSV-2026-6": "open",
    "CVE-2026-7": "ignored",
    "PYSEC-2026-9": "open",
}


def test_the_service_is_asked_for_all_that_is_locked_bundled_and_built_with(
    service: OsvService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.add(*everything())
    ran = Ran(capsys, "--source", service.url)
    assert (ran.code, ran.found) == (6, STATES)
    assert ran.report["withdrawn"] == ["PYSEC-2026-8"]
    assert ran.report["checked"] == {"build": 2, "bundled": 2, "layer": 2, "left out": 1}
    assert ran.report["by_name"] == ["libwebp 1.3.1 (in alpha)"]
    errors = {error["message"]: error for error in ran.envelope["errors"]}
    said = "alpha 1.0 has CVE-2026-1 (critical 9.8), fixed in 2.0: demo-python3.13-arm64"
    assert errors[said]["file"] == "locks/demo-python3.13-arm64.txt"
    lines = Path(errors[said]["file"]).read_text().splitlines()
    assert lines[errors[said]["line"] - 1].startswith("alpha==1.0")
    assert "lock --upgrade alpha" in errors[said]["next"]
    record = json.loads(Path("dist/demo-1.0.0-python3.13-arm64.advisories.json").read_text())
    assert len(record["report"]["findings"]) == len(STATES)


def test_pages_are_followed_and_answers_are_kept(
    service: OsvService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.add(*everything())
    service.page = 1
    assert Ran(capsys, "--source", service.url).found == STATES
    assert {query.get("page_token") for query in service.queries} == {None, "1", "2"}
    asked = len(service.asked)
    assert Ran(capsys, "--source", service.url).found == STATES
    assert len(service.asked) == asked


def age_answers(by: timedelta) -> None:
    for path in Path("cache/advisories").rglob("answers/*.json"):
        kept = json.loads(path.read_text())
        kept["fetched"] = (datetime.now(UTC) - by).isoformat()
        path.write_text(json.dumps(kept))


def test_without_network_kept_answers_are_used_with_their_age(
    service: OsvService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.add(advisory("alpha", vector=advisories.LOW))
    assert Ran(capsys, "--source", service.url).code == 0
    age_answers(timedelta(days=3))
    service.answers["/v1/querybatch"] = 503
    ran = Ran(capsys, "--source", service.url)
    assert (ran.code, ran.found) == (0, {"PYSEC-2026-1": "below"})
    assert "answered 503; what is kept of earlier answers is used" in ran.talk
    age_answers(timedelta(days=9))
    ran = Ran(capsys, "--source", service.url, "--offline")
    assert ran.code == 6
    assert "is 9 days old, and `max-age` allows 7 days" in ran.envelope["errors"][0]["message"]


def test_what_changed_is_fetched_again(
    service: OsvService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.add(advisory("alpha"))
    assert Ran(capsys, "--source", service.url).found == {"PYSEC-2026-1": "open"}
    age_answers(timedelta(hours=2))
    withdrawn = {"modified": "2026-11-22T00:00:00Z", "withdrawn": "2026-11-22T00:00:00Z"}
    service.add(advisory("alpha", **withdrawn))
    ran = Ran(capsys, "--source", service.url)
    assert (ran.found, ran.report["withdrawn"]) == ({}, ["PYSEC-2026-1"])


@pytest.mark.parametrize(
    ("path", "sent", "said"),
    [
        ("/v1/querybatch", b"<html>log in</html>", "does not answer as OSV's API does"),
        ("/v1/querybatch", b'{"results": []}', "7 queries have 0 results"),
        ("/v1/querybatch", b'{"results": [{"vulns": [{"id": 7}]}]}', "results.0.vulns.0.id"),
        ("/v1/querybatch", 500, "was not reached, and no earlier answer is kept"),
        ("/v1/vulns/PYSEC-2026-1", b"{", "PYSEC-2026-1: its record cannot be used: it is not JSON"),
        ("/v1/vulns/PYSEC-2026-1", 404, "PYSEC-2026-1: its record cannot be used: it could not be"),
        (
            "/v1/vulns/PYSEC-2026-1",
            json.dumps(advisory("alpha", "PYSEC-2026-2")).encode(),
            "PYSEC-2026-1: its record cannot be used: it is that of PYSEC-2026-2",
        ),
    ],
)
def test_a_broken_service_is_an_error(
    path: str,
    sent: int | bytes,
    said: str,
    service: OsvService,
    capsys: pytest.CaptureFixture[str],
) -> None:
    service.add(advisory("alpha"))
    service.answers[path] = sent
    ran = Ran(capsys, "--source", service.url)
    assert ran.code == 6
    assert any(said in error["message"] for error in ran.envelope["errors"])


def test_a_service_that_lies_is_caught(
    service: OsvService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service.add(advisory("omega"))
    service.lies["alpha"] = ["PYSEC-2026-1"]
    ran = Ran(capsys, "--source", service.url)
    assert ran.report["findings"][0]["doubts"] == [
        "the source lists it, and its own versions do not"
    ]
    service.lies["alpha"] = ["../../v2/admin"]
    age_answers(timedelta(hours=2))
    said = Ran(capsys, "--source", service.url).envelope["errors"][0]["message"]
    assert "'../../v2/admin' is not the identifier of an advisory" in said
    service.lies["alpha"] = [f"A-{number}" for number in range(9)]
    service.page = 1
    monkeypatch.setattr(feeds, "PAGES", 5)
    said = Ran(capsys, "--source", service.url).envelope["errors"][0]["message"]
    assert "its pages on alpha 1.0 do not end" in said
    monkeypatch.setattr(feeds, "ANSWER", 10)
    monkeypatch.setattr(feeds, "PAGES", 50)
    ran = Ran(capsys, "--source", service.url)
    assert "answered more than 10 bytes; what is kept" in ran.talk


def test_a_checkout_of_the_advisory_database_is_searched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = advisories.database(tmp_path / "db", *everything())
    ran = Ran(capsys, "--source", str(folder))
    of_pypi = {name: state for name, state in STATES.items() if name[:4] not in {"ALSA", "OSV-"}}
    assert (ran.code, ran.found) == (6, of_pypi)
    assert ran.report["unmatched"] == [
        "libwebp 1.3.1 (in alpha)",
        "openssl-libs 1.1.1k-9.el8 (in alpha)",
    ]
    assert "2 have no name that" in ran.talk


def test_a_folder_of_records_has_every_ecosystem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in everything():
        path = (
            tmp_path / "records" / one["affected"][0]["package"]["ecosystem"] / f"{one['id']}.json"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(one))
    ran = Ran(capsys, "--source", "records")
    assert (ran.found, ran.report["unmatched"]) == (STATES, [])


def test_an_old_folder_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = advisories.database(tmp_path / "db", advisory("omega"), advisory("alpha", vector=None))
    long_ago = time.time() - 30 * 86400
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (long_ago, long_ago))
    ran = Ran(capsys, "--source", "db")
    assert "is 30 days old, and `max-age` allows 7 days" in str(ran.envelope["errors"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("db/vulns/alpha/PYSEC-1.yaml", b"id: [", "PYSEC-1.yaml: it is not YAML"),
        ("db/vulns/alpha/PYSEC-1.yaml", b"&a [*a, *a]", "PYSEC-1.yaml: the record"),
        ("db/PYSEC-1.json", b"{}", "PYSEC-1.json: id: Field required"),
        ("db/PYSEC-1.json", b" " * (9 << 20), "PYSEC-1.json: it is larger than"),
        ("db/README.md", b"", "db cannot be used as a source of advisories: it holds no records"),
        ("db", b"PK\x03\x04 nothing", "db cannot be used as a source of advisories"),
        ("other", b"", "--source db: there is no such file or folder"),
    ],
)
def test_a_broken_database_is_an_error(
    name: str, content: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    ran = Ran(capsys, "--source", "db")
    assert ran.code == 6
    assert any(said in error["message"] for error in ran.envelope["errors"])


def export(*records: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for one in records:
            archive.writestr(f"{one['id']}.json", json.dumps(one))
    return stream.getvalue()


def test_a_mirror_of_the_export_is_kept_and_its_age_is_that_of_its_newest_record(
    service: OsvService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC).isoformat()
    service.answers["/PyPI/all.zip"] = export(advisory("alpha", modified=now))
    url = f"{service.url}/PyPI/all.zip"
    assert Ran(capsys, "--source", url).found == {"PYSEC-2026-1": "open"}
    assert Ran(capsys, "--source", url, "--offline").found == {"PYSEC-2026-1": "open"}
    assert service.asked == ["/PyPI/all.zip"]
    monkeypatch.setattr(feeds, "REUSE", timedelta(0))
    service.answers["/PyPI/all.zip"] = export(advisory("omega", modified="2026-01-01T00:00:00Z"))
    assert "`max-age` allows 7 days" in str(Ran(capsys, "--source", url).envelope["errors"])
    service.answers["/PyPI/all.zip"] = export(advisory("omega", modified="2999-01-01T00:00:00Z"))
    assert "which is in the future" in str(Ran(capsys, "--source", url).envelope["errors"])
    service.answers["/PyPI/all.zip"] = b"<html>"
    assert "it is not a sound zip" in str(Ran(capsys, "--source", url).envelope["errors"])
    monkeypatch.setattr(feeds, "UNPACKED", 10)
    service.answers["/PyPI/all.zip"] = export(advisory("alpha"))
    assert "it holds 1 records of" in str(Ran(capsys, "--source", url).envelope["errors"])


SARIF_RESULT = {
    "type": "object",
    "required": ["ruleId", "level", "message", "locations"],
    "additionalProperties": False,
    "properties": {
        "ruleId": {"type": "string"},
        "level": {"enum": ["none", "note", "warning", "error"]},
        "message": {"type": "object", "required": ["text"]},
        "locations": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "physicalLocation": {
                        "type": "object",
                        "required": ["artifactLocation", "region"],
                        "additionalProperties": False,
                        "properties": {
                            "artifactLocation": {
                                "type": "object",
                                "additionalProperties": False,
                                "properties": {
                                    "uri": {"type": "string", "format": "uri-reference"},
                                    "uriBaseId": {"type": "string"},
                                },
                            },
                            "region": {
                                "type": "object",
                                "properties": {"startLine": {"type": "integer", "minimum": 1}},
                            },
                        },
                    }
                },
            },
        },
        "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
        "properties": {"type": "object"},
        "suppressions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["kind"],
                "additionalProperties": False,
                "properties": {
                    "kind": {"enum": ["inSource", "external"]},
                    "justification": {"type": "string"},
                },
            },
        },
    },
}
SARIF = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "additionalProperties": False,
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {"driver": {"type": "object", "required": ["name"]}},
                    },
                    "invocations": {
                        "type": "array",
                        "items": {"type": "object", "required": ["executionSuccessful"]},
                    },
                    "results": {"type": "array", "items": SARIF_RESULT},
                },
            },
        },
    },
}
"""What OASIS's schema of SARIF 2.1.0 demands of the parts that are written."""


def test_sarif_points_to_locks_and_policy_and_vex_is_valid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    advisories.database(tmp_path / "db", *everything(), advisory("alpha", "CVE-2026-10"))
    config = CONFIG + "    - {id: CVE-2020-1, reason: long gone, until: 2099-01-01}\n"
    (tmp_path / "layers.yaml").write_text(config)
    Ran(capsys, "--source", "db", "--sarif", "out/a.sarif", "--vex", "out/a.vex.json")
    sarif = json.loads(Path("out/a.sarif").read_text())
    Draft7Validator(SARIF).validate(sarif)
    [ran] = sarif["runs"]
    rules = {one["id"]: one for one in ran["tool"]["driver"]["rules"]}
    assert rules["CVE-2026-1"]["properties"]["security-severity"] == "9.8"
    results = {one["ruleId"]: one for one in ran["results"]}
    assert set(results) <= set(rules)
    places = {
        name: (
            one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            one["locations"][0]["physicalLocation"]["region"]["startLine"],
        )
        for name, one in results.items()
    }
    assert places["CVE-2026-1"] == ("locks/demo-python3.13-arm64.txt", 5)
    assert places["advisories"] == ("layers.yaml", 12)
    assert results["CVE-2026-7"]["suppressions"][0]["justification"] == "never called"
    assert "suppressions" not in results["CVE-2026-1"]
    text = Path("out/a.vex.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    vex = json.loads(text)
    states = {one["id"]: one["analysis"] for one in vex["vulnerabilities"]}
    assert states["PYSEC-2026-2"]["justification"] == "code_not_present"
    assert states["CVE-2026-1"]["state"] == "in_triage"
    assert states["CVE-2026-7"]["detail"].startswith("Accepted: never called")
    assert vex["externalReferences"][0]["url"].startswith("urn:cdx:0b0f4a52-")


def test_what_no_proof_loaded_is_said_with_the_evidence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    advisories.database(tmp_path / "db", advisory("alpha"))
    stem = "dist/demo-1.0.0-python3.13-arm64"
    record = {
        "identifier": "demo-python3.13-arm64",
        "sha256": json.loads(Path(f"{stem}.json").read_text())["artifact"]["sha256"],
        "runner": {
            "kind": "docker",
            "runtime": "python3.13",
            "architecture": "arm64",
            "image": "i",
        },
        "proofs": ["tests/smoke.py"],
        "loaded": [],
    }
    Path(f"{stem}.watched.json").write_text(json.dumps(record))
    ran = Ran(capsys, "--source", "db", "--vex", "a.vex.json")
    assert (ran.code, ran.found) == (6, {"PYSEC-2026-1": "open"})
    text = Path("a.vex.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    [one] = json.loads(text)["vulnerabilities"]
    assert one["analysis"]["state"] == "in_triage"
    assert one["analysis"]["detail"].startswith("Not loaded by any proof: none of its 1 files")
    assert {
        "name": "layersmith:not-loaded",
        "value": "demo-python3.13-arm64: 1 files; tests/smoke.py; i, arm64 native",
    } in one["properties"]
    warn = CONFIG.replace("severity: high", "severity: high\n  not-loaded: warn")
    (tmp_path / "layers.yaml").write_text(warn)
    ran = Ran(capsys, "--source", "db")
    assert (ran.code, ran.found) == (0, {"PYSEC-2026-1": "not loaded"})
    Path(f"{stem}.watched.json").write_text(json.dumps({**record, "sha256": "0" * 64}))
    ran = Ran(capsys, "--source", "db")
    assert (ran.code, ran.found) == (6, {"PYSEC-2026-1": "open"})
    assert "watched in another zip" in ran.talk


def test_a_missing_lock_and_an_unbuilt_layer_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    advisories.database(tmp_path / "db", advisory("omega"))
    more = CONFIG.replace(
        "advisories:", "  other: {description: d, version: 1.0.0, runtimes: [python3.13],"
        " requirements: [alpha]}\nadvisories:"
    )  # fmt: skip
    (tmp_path / "layers.yaml").write_text(more)
    (tmp_path / "dist/demo-1.0.0-python3.13-arm64.cdx.json").unlink()
    ran = Ran(capsys, "--source", "db")
    assert ran.code == 4
    assert ran.envelope["errors"][0]["target"] == "other-python3.13-arm64"
    assert ran.report["checked"]["layer"] == 2
    capsys.readouterr()
    assert cli.main(["advisories", "demo", "--source", "db"]) == 0
    said = capsys.readouterr().err
    assert "bundled libraries were not looked up: demo-python3.13-arm64" in said

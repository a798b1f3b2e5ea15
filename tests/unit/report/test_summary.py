"""What GitHub's step summaries and the comment on a pull request say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from layersmith import cli
from layersmith.assemble import manifest as manifests
from layersmith.config.models import Config
from layersmith.plan import plan
from layersmith.prove.models import ImportsProof, RunnerFacts, SmokeReport
from layersmith.report import tables, verdict
from layersmith.report.records import ReportedArtifact
from layersmith.supply.advisories import AdvisoryFinding, AdvisoryRecord, AdvisoryReport

from .made import FILES, manifest

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from layersmith.plan import Target

LAYERS = {
    "layers": {
        name: {
            "description": "d",
            "version": "1.0.0",
            "requirements": ["x"],
            "runtimes": ["python3.13"],
            "architectures": ["arm64"],
            "budgets": {"zipped": "2MB", "unzipped": "10MB"},
        }
        for name in ("demo", "other")
    }
}


def targets() -> list[Target]:
    return plan(Config.model_validate(LAYERS))


def proof(made: Manifest, *problems: str, sha256: str | None = None) -> SmokeReport:
    return SmokeReport(
        identifier=made.identifier,
        runtime=made.runtime,
        architecture=made.architecture,
        sha256=sha256 or made.artifact.sha256,
        runner=RunnerFacts(kind="docker", runtime=made.runtime, architecture="arm64"),
        imports=ImportsProof(modules=1, failed=[], excepted={}, unneeded=[], slowest_ms={}),
        problems=list(problems),
        seconds=1.0,
    )


def put(folder: Path, made: Manifest, proved: SmokeReport | None = None) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / made.artifact.filename.replace(".zip", ".json")
    manifests.write(made, path)
    if proved:
        path.with_suffix(".smoke.json").write_text(proved.model_dump_json())


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| `")]


def test_a_proven_layer_its_budgets_and_what_it_grew(tmp_path: Path) -> None:
    small = {"fast": FILES["fast"]}
    made, old = manifest(), manifest(small, version="0.9.0")
    put(tmp_path / "dist", made, proof(made))
    put(tmp_path / "main", old)
    text = tables.summary(
        "Layers",
        tables.in_folder(targets(), tmp_path / "dist"),
        tables.manifests_in(tmp_path / "main"),
    )
    first, second = rows(text)
    assert first == (
        "| `demo-python3.13-arm64` | ✅ proven by Docker | 1.52 MB, 76 % of 2.00 MB"
        " | 4.57 MB, 46 % of 10.00 MB | +0.19 MB zipped |"
    )
    assert second == "| `other-python3.13-arm64` | ❌ not built |  |  |  |"
    assert "its zip was not built" in text


@pytest.mark.parametrize(
    ("problems", "sha256", "words"),
    [
        (["`fast` does not import"], None, "❌ not proven by Docker"),
        ([], "0" * 64, "not started"),
    ],
)
def test_what_is_not_proven_does_not_look_so(
    tmp_path: Path, problems: list[str], sha256: str | None, words: str
) -> None:
    made = manifest()
    put(tmp_path, made, proof(made, *problems, sha256=sha256))
    text = tables.summary("Layers", tables.in_folder(targets()[:1], tmp_path), {})
    assert rows(text)[0].startswith(f"| `demo-python3.13-arm64` | {words} |")
    assert all(problem in text for problem in problems)
    assert "No manifests of the main branch" in text


def test_the_same_bytes_and_what_left(tmp_path: Path) -> None:
    for layer in ("demo", "other"):
        put(tmp_path, manifest(layer=layer))
    before = tables.manifests_in(tmp_path)
    text = tables.summary("Layers", tables.in_folder(targets()[:1], tmp_path), before)
    assert rows(text)[0].endswith("| the same bytes |")
    assert "not in this run: other-python3.13-arm64." in text


def found(made: Manifest, **more: Any) -> AdvisoryRecord:
    """Return what `advisories` found for a zip."""
    one = AdvisoryFinding(
        id="CVE-1",
        aliases=[],
        summary="",
        severity="high",
        score=8.0,
        package="fast",
        version="1.0",
        purl="pkg:pypi/fast@1.0",
        role="layer",
        **{"targets": [made.identifier], "state": "open", "url": "https://a.example", **more},
    )
    now = datetime(2026, 11, 26, tzinfo=UTC)
    report = AdvisoryReport(
        source="a folder",
        asked=now,
        dated=now,
        max_age=60.0,
        severity="high",
        checked={},
        unmatched=[],
        by_name=[],
        withdrawn=[],
        problems=[],
        notes=[],
        findings=[one],
        policy=[],
    )
    return AdvisoryRecord(identifier=made.identifier, sha256=made.artifact.sha256, report=report)


def test_advisories_have_one_line(tmp_path: Path) -> None:
    demo = manifest(layer="demo")
    put(tmp_path, demo)
    path = tmp_path / demo.artifact.filename.replace(".zip", ".advisories.json")
    assert tables.advisories(targets(), tmp_path) == "Advisories: not looked up.\n"
    path.write_text(found(demo).model_dump_json())
    assert tables.advisories(targets(), tmp_path) == (
        "Advisories (a folder, 2026-11-26): ❌ CVE-1 in fast 1.0 (high 8, fixed in no version);"
        " not looked up for other-python3.13-arm64.\n"
    )
    path.write_text(found(demo, state="ignored").model_dump_json())
    assert "none that counts; 1 ignored" in tables.advisories(targets(), tmp_path)
    other = found(demo).model_copy(update={"sha256": "0" * 64})
    path.write_text(other.model_dump_json())
    assert tables.advisories(targets(), tmp_path) == "Advisories: not looked up.\n"


def test_the_report_says_whether_advisories_stop_a_release() -> None:
    demo = manifest(layer="demo")
    for state, expected in (("open", "bad"), ("below", "good")):
        report = found(demo, state=state).report
        check = verdict.checks(ReportedArtifact(demo, advisories=report))[-1]
        assert check.state == expected
    check = verdict.checks(ReportedArtifact(demo))[-1]
    assert (check.state, check.word) == ("info", "advisories not looked up")


def test_a_message_cannot_end_its_block() -> None:
    assert tables.fenced("a\n```\n# b").count("```") == 2


def test_the_verb_writes_the_text_and_its_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {
        "GITHUB_STEP_SUMMARY": str(tmp_path / "step.md"),
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_REPOSITORY": "owner/name",
        "GITHUB_RUN_ID": "7",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "layers.yaml").write_text(json.dumps(LAYERS))
    made = manifest()
    put(tmp_path / "dist", made, proof(made))
    put(tmp_path / "main", manifest({"fast": FILES["fast"]}))
    words = ["summary", "--config", str(tmp_path / "layers.yaml"), "--out", str(tmp_path / "a.md")]

    assert cli.main([*words, "--before", str(tmp_path / "main"), "demo"]) == 0

    text = (tmp_path / "a.md").read_text()
    assert text.rstrip() == (tmp_path / "step.md").read_text().rstrip()
    assert text.rstrip() == capsys.readouterr().out.rstrip()
    assert "(https://github.example/owner/name/actions/runs/7)" in text
    assert "1 added" in text

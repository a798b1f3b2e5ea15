"""The report's figures and tables say what the manifests say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from layersmith.assemble import manifest as manifests
from layersmith.config.models import Budgets, Config
from layersmith.errors import BuildError
from layersmith.prove.cold.models import Calibration
from layersmith.report import figures, functions, html, records, views
from layersmith.report.bars import bar
from layersmith.report.records import ReportedArtifact, ReportedRelease

from .made import FILES, cold_start, import_tree, manifest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("python/a/_a.cpython-313-aarch64-linux-gnu.so", "native"),
        ("python/numpy.libs/libopenblas.so.0", "native"),
        ("python/a/__pycache__/a.cpython-313.pyc", "bytecode"),
        ("python/a.py", "python"),
        ("python/a.pyi", "data"),
        ("python/a.dist-info/METADATA", "data"),
        ("python/a/also.source", "data"),
    ],
)
def test_kinds(path: str, kind: str) -> None:
    assert figures.kind(path) == kind


def test_the_treemap_adds_up_to_the_manifest() -> None:
    made = manifest()
    (trace,) = figures.treemap(made)["data"]
    nodes = dict(zip(trace["ids"], trace["values"], strict=True))
    below: dict[str, int] = {}
    for node, parent in zip(trace["ids"], trace["parents"], strict=True):
        below[parent] = below.get(parent, 0) + nodes[node]
    assert below.pop("") == made.artifact.unzipped
    assert all(nodes[parent] == total for parent, total in below.items())
    assert {one.name for one in made.distributions} <= set(trace["labels"])
    assert "_fast.so" in trace["labels"], "what makes a name too long for a tile is left out"


def test_the_icicle_adds_up_and_hides_what_is_too_short() -> None:
    tree = import_tree(manifest())
    (trace,) = figures.icicle(tree)["data"]
    nodes = dict(zip(trace["ids"], trace["values"], strict=True))
    below: dict[str, int] = {}
    for node, parent in zip(trace["ids"], trace["parents"], strict=True):
        below[parent] = below.get(parent, 0) + nodes[node]
    assert below.pop("") == tree.total_us
    assert all(below[parent] <= nodes[parent] for parent in below)
    assert len(nodes) < 10
    assert "300 shorter ones" in trace["labels"]
    kinds = {label: row[1] for label, row in zip(trace["labels"], trace["customdata"], strict=True)}
    assert kinds["fast"] == "c0"
    assert kinds["json"] == "standard library"


def test_boxes_hold_every_start() -> None:
    report = cold_start(manifest())
    boxes = figures.cold_starts(report)["data"]
    assert [box["meta"] for box in boxes] == ["floor", "plain", "layer"]
    assert list(boxes[-1]["x"]) == pytest.approx([360.0, 400.0, 440.0])


def test_times_under_emulation_are_divided() -> None:
    made = cold_start(manifest())
    slow = made.model_copy(
        update={
            "kind": "estimate",
            "calibration": Calibration(workload="w", emulated_ms=40, native_ms=10, factor=4.0),
        }
    )
    assert list(figures.cold_starts(slow)["data"][-1]["x"]) == pytest.approx([90.0, 100.0, 110.0])
    assert views.cold(slow)["rows"][0][1] == "100"


def config() -> Config:
    layer = {
        "description": "d",
        "version": "1.0.0",
        "requirements": ["x"],
        "runtimes": ["python3.13"],
    }
    return Config.model_validate(
        {
            "layers": {"demo": layer, "other": layer},
            "functions": {
                "both": {"layers": ["demo", "other"], "code": "code"},
                "unbuilt": {"layers": ["demo", "missing"]},
            },
        }
    )


def test_functions_are_their_layers_and_code(tmp_path: Path) -> None:
    (tmp_path / "code" / "__pycache__").mkdir(parents=True)
    (tmp_path / "code" / "handler.py").write_bytes(bytes(700))
    (tmp_path / "code" / "__pycache__" / "handler.pyc").write_bytes(bytes(999))
    built = [manifest(), manifest(layer="other")]
    (found,) = functions.compositions(config(), built, tmp_path)
    assert found.parts == {"demo": 4_565_000, "other": 4_565_000, functions.CODE: 700}
    assert found.share == pytest.approx(found.total / 262_144_000)
    bars = figures.functions([found])["data"]
    assert sum(bar["x"][0] for bar in bars) == found.total


def test_records_of_another_zip_are_left_out(tmp_path: Path) -> None:
    made = manifest()
    path = tmp_path / "demo-1.0.0-python3.13-arm64.json"
    manifests.write(made, path)
    path.with_suffix(".coldstart.json").write_text(cold_start(made).model_dump_json())
    path.with_suffix(".importtime.json").write_text(import_tree(made).model_dump_json())
    (fresh,) = records.gather(tmp_path, {})
    assert fresh.cold_start
    assert fresh.imports
    assert not fresh.stale
    manifests.write(made.model_copy(update={"artifact": manifest(version="2.0.0").artifact}), path)
    (stale,) = records.gather(tmp_path, {})
    assert stale.cold_start is None
    assert stale.imports is None
    assert stale.stale == ["cold starts", "import times"]


def test_the_newest_release_and_its_history(tmp_path: Path) -> None:
    old = tmp_path / "old"
    for folder, version in ((old, "1.9.0"), (old, "1.2.0"), (tmp_path / "dist", "1.10.0")):
        manifests.write(manifest(version=version), folder / f"demo-{version}-python3.13-arm64.json")
    (one,) = records.gather(tmp_path / "dist", {}, [old])
    assert one.manifest.version == "1.10.0"
    assert [release.version for release in one.history] == ["1.2.0", "1.9.0", "1.10.0"]


def test_an_empty_folder_is_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="nothing to report"):
        records.gather(tmp_path, {})


def test_budgets_and_their_states() -> None:
    one = ReportedArtifact(manifest(), Budgets(unzipped=4_565_001, zipped=1_000_000))
    states = {meter.name: (meter.percent, meter.state) for meter in views.budgets(one)}
    assert states["budgets.unzipped"] == (100, "warn")
    assert states["budgets.zipped"] == (152, "bad")
    assert states["unpacked, of what Lambda takes"] == (2, "good")


def test_data_cannot_leave_its_script_element() -> None:
    evil = {"</script><script>alert(1)</script>": "<!--\u2028"}
    text = html.in_script(evil)
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text) == evil


def test_what_manifests_say_is_escaped() -> None:
    files = {"<img src=x onerror=alert(1)>": {"python/<b>.py": 10}, **FILES}
    page = html.render([ReportedArtifact(manifest(files, licence="<i>MIT</i>"))])
    assert "<img src=x" not in page
    assert "<i>MIT" not in page
    assert "&lt;i&gt;MIT" in page


def test_the_page_is_whole_without_anything_measured() -> None:
    page = html.render([ReportedArtifact(manifest())])
    assert "4.57 MB" in page
    assert "not proven" in page
    assert "http-equiv" in page
    outside = page.replace("http://www.w3.org/", "")
    assert 'src="http' not in outside
    assert "@import" not in outside.split("<script", 1)[0]


def test_history_needs_two_releases() -> None:
    alone = ReportedArtifact(manifest(), history=[ReportedRelease("1.0.0", 1, 2)])
    assert "Over the releases" not in html.render([alone])
    two = ReportedArtifact(
        manifest(), history=[ReportedRelease("0.9.0", 1, 2), ReportedRelease("1.0.0", 1, 2)]
    )
    assert "Over the releases" in html.render([two])


@pytest.mark.parametrize(
    ("share", "drawn"),
    [
        (0, "          "),
        (1, "██████████"),
        (2, "██████████"),
        (0.0001, "▏         "),
        (0.5, "█████     "),
    ],
)
def test_bars(share: float, drawn: str) -> None:
    assert bar(share, 10) == drawn


def test_bars_in_ascii() -> None:
    assert bar(0.3, 10, ascii_only=True) == "###......."

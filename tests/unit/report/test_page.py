"""The report's figures and tables say what the manifests say."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.assemble import manifest as manifests
from layersmith.assemble.manifest import PrunedRule
from layersmith.config.models import Budgets, Config, Function
from layersmith.errors import BuildError
from layersmith.prove.cold.models import (
    Calibration,
    InitPhases,
    LazyImport,
    LazyReport,
    OtherChoice,
    Saved,
)
from layersmith.report import figures, html, records, verdict, views
from layersmith.report.bars import bar
from layersmith.report.records import ReportedArtifact, ReportedRelease
from layersmith.verbs import cost

from .made import FILES, cold_start, import_tree, manifest, smoke

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


def sums(node: Any) -> int:
    return int(node[0]) if isinstance(node, list) else sum(map(sums, node.values()))


def leaves(node: Any, path: str = "") -> dict[str, int]:
    if isinstance(node, list):
        return {path: node[0]}
    return {
        name: size
        for key, below in node.items()
        for name, size in leaves(below, path + key).items()
    }


def test_the_tree_of_files_adds_up_to_the_manifest() -> None:
    made = manifest()
    tree = figures.files(made)
    assert {name: sums(node) for name, node in tree.items()} == {
        one.name: one.unzipped for one in made.distributions
    }
    assert leaves(tree["plain"]) == {
        "plain/__init__.py": 30_000,
        "plain/__pycache__/__init__.cpython-313.pyc": 35_000,
        "plain/table.json": 500_000,
    }


def test_more_files_than_a_page_can_hold_are_summed_up_by_folder() -> None:
    many = {f"python/a/b/f{number}.json": number for number in range(1, 101)}
    tree = figures.files(manifest({"a": many}), most=10)
    listed = leaves(tree)
    assert len(listed) == 11
    assert listed["aa/b/smaller files, data"] == sum(range(1, 91))
    assert sums(tree) == sum(many.values())


def test_the_bands_of_imports_hide_what_is_too_short() -> None:
    tree = import_tree(manifest())
    bands = figures.flame(tree)
    (plain,) = [one for one in bands if one.label == "plain"]
    (fast,) = plain.below
    assert (fast.label, fast.colour) == ("fast", "c0")
    assert plain.gap == plain.microseconds - fast.microseconds
    assert {one.label: one.colour for one in bands}["json"] == "std"


STEPS = {"collect": 9_000_000, "prune": 6_000_000, "strip": 5_500_000, "bytecode": 5_565_000}


def test_the_waterfall_adds_up_to_the_byte() -> None:
    made = manifest(steps=STEPS).model_copy(
        update={
            "pruned": [
                PrunedRule(rule="tests", files=1, unzipped=1_000_000),
                PrunedRule(rule="recipe:fast", files=1, unzipped=2_000_000),
            ]
        }
    )
    steps = figures.waterfall(ReportedArtifact(made))
    assert [(one.name, one.delta) for one in steps] == [
        ("plain wheels", 9_000_000),
        ("pruned", -1_000_000),
        ("stripped", -500_000),
        ("recipes", -2_000_000),
        ("bytecode", 65_000 + made.artifact.unzipped - STEPS["bytecode"]),
        ("this layer", made.artifact.unzipped),
    ]
    assert steps[-2].after == made.artifact.unzipped


def test_the_waterfall_begins_with_a_plain_installation_where_one_was_measured() -> None:
    made = manifest(steps=STEPS)
    measured = cold_start(made)
    plain = measured.variants[1].model_copy(update={"unzipped": 20_000_000})
    report = measured.model_copy(update={"variants": [measured.variants[0], plain]})
    steps = figures.waterfall(ReportedArtifact(made, cold_start=report))
    assert [one.name for one in steps[:2]] == ["plain installation", "left out"]
    assert steps[1].delta == -11_000_000


def test_manifests_that_record_no_steps_have_no_waterfall() -> None:
    assert figures.waterfall(ReportedArtifact(manifest())) == []
    assert "What each step saved" not in html.render([ReportedArtifact(manifest())])


def test_who_pulls_what() -> None:
    sizes = {"top": 1, "left": 10, "right": 20, "shared": 100, "own": 1000}
    made = manifest(
        {name: {f"python/{name}.py": size} for name, size in sizes.items()},
        requires={"top": ["left", "right"], "left": ["shared"], "right": ["shared", "own"]},
    )
    asked = made.inputs.model_copy(update={"requirements": ["top"]})
    (top,) = figures.pulls(made.model_copy(update={"inputs": asked}))
    right, left = top.below
    assert (top.retained, right.retained, left.retained) == (1131, 1020, 110 - 100)
    (own,) = right.below
    (shared,) = left.below
    assert own.name == "own"
    assert (shared.name, shared.also) == ("shared", ["right"])


def test_starts_are_drawn_one_by_one_and_priced() -> None:
    phases = InitPhases(runtime_ms=80, layer_ms=300, own_ms=20, modules={"PIL": 300})
    measured = cold_start(manifest()).model_copy(update={"phases": phases})
    one = ReportedArtifact(manifest(), cold_start=measured, memory=1024)
    shown = views.cold(one)
    (said,) = shown["notes"]
    assert "the runtime 80, imports of the layer 300 (PIL 300), the function's own 20" in said
    _, bar, median, init, price, _ = shown["rows"][0]
    assert len(bar.marks) == 3
    assert (median, init) == ("400 ms", "400 ms")
    # 0.4 s of 1 GB, a million times, at 0.0000133334 USD.
    assert price == "5.33 USD"
    assert "1,024 MB" in shown["assumes"]
    assert "800 ms less" in shown["saving"]
    assert "10.67 USD less" in shown["saving"]


def test_what_would_start_sooner_is_shown_below_the_import_profile(tmp_path: Path) -> None:
    made = manifest()
    measured = cold_start(made)
    layer, plain, _ = measured.variants
    saved = Saved.of(layer, plain).model_copy(update={"million": 10.5})
    choice = OtherChoice(name="bytecode-only", zipped=2_000_000, unzipped=7_000_000, saved=saved)
    late = Saved.of(plain, layer)
    lazy = LazyReport(
        function="query",
        runtime=made.runtime,
        architecture="arm64",
        memory=512,
        event="event.json",
        zips={made.layer: made.artifact.sha256},
        runner=measured.runner,
        emulated=False,
        starts=3,
        unchanged=layer,
        imports=[
            LazyImport(file="app.py", line=3, statement="import plain", state="waits", saved=late),
            LazyImport(file="app.py", line=4, statement="import fast", state="first-call"),
        ],
    )
    path = tmp_path / f"{made.layer}-1.0.0-python3.13-arm64.json"
    manifests.write(made, path)
    with_choice = measured.model_copy(update={"choices": [choice]})
    path.with_suffix(".coldstart.json").write_text(with_choice.model_dump_json())
    (tmp_path / "query.lazy.json").write_text(lazy.model_dump_json())
    query = config().model_copy(
        update={"functions": {"query": Function(layers=[made.layer], code="query")}}
    )
    [one] = records.gather(tmp_path, query)
    found = views.savings(one)
    assert found is not None
    assert found.rows == [
        (
            *("bytecode: only", "2.00 MB zip, 7.00 MB unpacked"),
            *("800.0 ms", "720.0 to 880.0 ms", "10.50 USD"),
        ),
        (
            *("lazy imports: import plain", "the function query, app.py:3"),
            *("-800.0 ms", "-880.0 to -720.0 ms", ""),
        ),
    ]
    assert "What would start sooner" in html.render([one], [])

    other = lazy.model_copy(update={"zips": {made.layer: "0"}})
    (tmp_path / "query.lazy.json").write_text(other.model_dump_json())
    [one] = records.gather(tmp_path, query)
    assert one.lazy == []
    assert one.stale == ["lazy imports of query"]


def test_times_under_emulation_are_divided() -> None:
    made = cold_start(manifest())
    slow = made.model_copy(
        update={
            "kind": "estimate",
            "calibration": Calibration(workload="w", emulated_ms=40, native_ms=10, factor=4.0),
        }
    )
    shown = views.cold(ReportedArtifact(manifest(), cold_start=slow))
    assert shown["rows"][0][2] == "100 ms"
    assert shown["rows"][0][1].text == "90 to 110 ms"


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
    (found,) = records.compositions(config(), built, tmp_path)
    assert found.parts == {"demo": 4_565_000, "other": 4_565_000, records.OWN_CODE: 700}
    assert found.share == pytest.approx(found.total / 262_144_000)
    page = html.render([ReportedArtifact(one) for one in built], [found])
    assert "9.13 MB" in page.split('id="functions"')[1]


def test_records_of_another_zip_are_left_out(tmp_path: Path) -> None:
    made = manifest()
    path = tmp_path / "demo-1.0.0-python3.13-arm64.json"
    manifests.write(made, path)
    path.with_suffix(".coldstart.json").write_text(cold_start(made).model_dump_json())
    path.with_suffix(".importtime.json").write_text(import_tree(made).model_dump_json())
    (fresh,) = records.gather(tmp_path)
    assert fresh.cold_start
    assert fresh.imports
    assert not fresh.stale
    manifests.write(made.model_copy(update={"artifact": manifest(version="2.0.0").artifact}), path)
    (stale,) = records.gather(tmp_path)
    assert stale.cold_start is None
    assert stale.imports is None
    assert stale.stale == ["cold starts", "import times"]


def test_the_newest_release_and_its_history(tmp_path: Path) -> None:
    old = tmp_path / "old"
    for folder, version in ((old, "1.9.0"), (old, "1.2.0"), (tmp_path / "dist", "1.10.0")):
        manifests.write(manifest(version=version), folder / f"demo-{version}-python3.13-arm64.json")
    (one,) = records.gather(tmp_path / "dist", history=[old])
    assert one.manifest.version == "1.10.0"
    assert [release.version for release in one.history] == ["1.2.0", "1.9.0", "1.10.0"]


def test_an_empty_folder_is_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="nothing to report"):
        records.gather(tmp_path)


def test_budgets_and_their_states() -> None:
    one = ReportedArtifact(manifest(), Budgets(unzipped=4_565_001, zipped=1_000_000))
    states = {meter.name: (round(100 * meter.share), meter.state) for meter in verdict.meters(one)}
    assert states["budgets.unzipped"] == (100, "info")
    assert states["budgets.zipped"] == (152, "bad")
    assert states["Lambda's limit, unpacked"] == (2, "good")


@pytest.mark.parametrize(
    ("one", "state", "word"),
    [
        (ReportedArtifact(manifest(), smoke=smoke(manifest())), "good", "Yes:"),
        (ReportedArtifact(manifest()), "warn", "not proven"),
        (ReportedArtifact(manifest(), smoke=smoke(manifest(), twin=True)), "warn", "as twin"),
        (ReportedArtifact(manifest(), smoke=smoke(manifest(), ok=False)), "bad", "proof failed"),
        (
            ReportedArtifact(manifest(), Budgets(zipped=1), smoke=smoke(manifest())),
            *("bad", "over budget"),
        ),
    ],
)
def test_may_it_ship(one: ReportedArtifact, state: str, word: str) -> None:
    answer = html.answer([one])
    assert answer.state == state
    assert word in html.render([one]).split("</section>")[0]


def test_a_function_that_is_too_large_stops_its_layers_only() -> None:
    parts = records.FunctionParts("big", "python3.13", "arm64", {"demo": 300_000_000})
    made = [manifest(), manifest(layer="other")]
    found = [ReportedArtifact(one, smoke=smoke(one)) for one in made]
    answer = html.answer(found, [parts])
    assert answer.text == "No: 1 of 2 targets must not ship."
    ((check, names),) = answer.reasons
    assert (check.word, names) == ("function too large", ["demo-python3.13-arm64"])


@pytest.mark.parametrize(
    ("version", "files", "state", "word"),
    [
        ("0.9.0", {"fast": {"python/fast.so": 4_065_000}}, "good", "+0.50 MB since 0.9.0"),
        ("1.0.0", FILES, "good", "unchanged"),
        ("1.0.0", {"fast": {"python/fast.so": 1}}, "bad", "1.0.0 is taken"),
        ("2.0.0", FILES, "info", "no earlier release"),
    ],
)
def test_what_changed_since_the_last_release(
    tmp_path: Path, version: str, files: dict[str, dict[str, int]], state: str, word: str
) -> None:
    old = tmp_path / "old" / f"demo-{version}-python3.13-arm64.json"
    manifests.write(manifest(files, version=version), old)
    manifests.write(manifest(), tmp_path / "dist" / "demo-1.0.0-python3.13-arm64.json")
    (one,) = records.gather(tmp_path / "dist", history=[old.parent])
    check = verdict.checks(one)[2]
    assert (check.state, check.word) == (state, word)


def test_data_cannot_leave_its_script_element() -> None:
    evil = {"</script><script>alert(1)</script>": "<!--\u2028"}
    text = html.in_script(evil)
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text) == evil


def test_what_manifests_say_is_escaped() -> None:
    files = {"<img src=x onerror=alert(1)>": {"python/<b>.py": 10}, **FILES}
    made = manifest(files, licence="<i>MIT</i>")
    asked = made.inputs.model_copy(update={"requirements": ["fast", "plain"]})
    page = html.render([ReportedArtifact(made.model_copy(update={"inputs": asked}))])
    assert "<img src=x" not in page
    assert "<i>MIT" not in page
    assert "&lt;i&gt;MIT" in page


def test_the_page_is_whole_without_anything_measured() -> None:
    page = html.render([ReportedArtifact(manifest())])
    assert "4.57 MB" in page
    assert "not proven" in page


def test_headings_are_in_order_and_nothing_is_loaded() -> None:
    made = manifest(steps=STEPS)
    one = ReportedArtifact(
        made, cold_start=cold_start(made), imports=import_tree(made), smoke=smoke(made)
    )
    page = html.render([one, ReportedArtifact(manifest(layer="b"))], commit="abc-dirty")
    levels = [int(found) for found in re.findall(r"<h([1-6])", page)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert re.findall(r"https?://|\bsrc=|@import|url\(", page) == []
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert {*re.findall(r'aria-labelledby="([^"]+)"', page)} <= set(ids)
    assert "commit <code>abc-dirty</code>" in page


def test_nine_targets_of_ten_thousand_files_each_stay_under_three_megabytes() -> None:
    many = {
        f"dist{folder}": {
            f"python/dist{folder}/package{number % 7}/module_{number}.cpython-313.pyc": number
            for number in range(100)
        }
        for folder in range(100)
    }
    one = ReportedArtifact(manifest(many))
    assert len(html.render([one] * 9).encode()) < 3_000_000


def test_costs_are_shown_by_month(tmp_path: Path) -> None:
    days = [("2026-09-01", 1), ("2026-09-30", 7.5), ("2026-10-02", 2)]
    lines = [json.dumps({"date": day, "total": total, "currency": "USD"}) for day, total in days]
    (tmp_path / records.COSTS).write_text("\n".join(lines))
    page = html.render([ReportedArtifact(manifest())], costs=records.costs([tmp_path]))
    assert re.findall(r"([\d.]+) USD</td>", page) == ["7.50", "2.00"]
    (tmp_path / records.COSTS).write_text("{")
    with pytest.raises(BuildError, match="history of costs"):
        records.costs([tmp_path])


def test_the_example_of_cost_writes_what_the_report_reads() -> None:
    assert re.findall(r"--history-out dist/(\S+)", cost.EPILOG) == [records.COSTS]


def test_history_needs_two_releases() -> None:
    alone = ReportedArtifact(manifest(), history=[ReportedRelease("1.0.0", 1, 2)])
    assert "Over the releases" not in html.render([alone])
    releases = [ReportedRelease("0.9.0", 1, 2, 500, 300), ReportedRelease("1.0.0", 1, 2)]
    page = html.render([ReportedArtifact(manifest(), memory=1024, history=releases)])
    assert '500 ms</td><td class="n">4.00 USD' in page


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

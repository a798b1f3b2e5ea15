"""Cold starts are measured natively, and estimated under emulation.

No time is judged here, only that the numbers belong together.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.base import uv

from tests.support import cli
from tests.support.envelopes import data_of

from .conftest import HERE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layersmith.prove.runners import Runner

    from .conftest import Call

TARGET = "imaging-python3.13-arm64"
STEM = "imaging-1.0.0-python3.13-arm64"


@pytest.fixture
def measure(call: Call, built: Callable[[str], Path]) -> Callable[..., Any]:
    if uv.interpreter(13, install=False) is None:
        pytest.skip("no CPython 3.13 on this machine")

    def measured(*words: str) -> Any:
        dist = built("python3.13")
        options = ["--layer", "imaging", "--runtime", "python3.13", "--dist", str(dist)]
        done = call("coldstart", *options, *words, "--json")
        assert done.returncode == 0, done.stderr
        (report,) = data_of(done.stdout)
        assert report == json.loads((dist / f"{STEM}.coldstart.json").read_text())
        return report, json.loads((dist / f"{STEM}.importtime.json").read_text())

    return measured


@pytest.mark.slow
def test_the_twin_is_measured(measure: Callable[..., Any]) -> None:
    report, tree = measure("--runner", "host", "--starts", "3")
    assert report["identifier"] == TARGET
    assert report["kind"] == ("twin" if report["runner"]["twin"] else "measurement")
    assert report["calibration"] is None
    variants = {one["name"]: one for one in report["variants"]}
    assert list(variants) == ["layer", "no-bytecode", "plain", "floor"]
    for one in variants.values():
        assert len(one["samples"]) == 3
        for sample in one["samples"]:
            assert sample["import_ms"] < sample["init_ms"]
        assert one["total"]["low"] <= one["total"]["median"] <= one["total"]["p90"]
    # Without its Python there is nothing to import; without bytecode it has to be compiled.
    assert variants["floor"]["imports"]["median"] < variants["layer"]["imports"]["median"]
    assert variants["layer"]["imports"]["low"] < variants["plain"]["imports"]["low"]
    assert variants["floor"]["unzipped"] == 0
    bare, cost = variants["no-bytecode"], report["bytecode"]
    assert bare["unzipped"] == variants["layer"]["unzipped"] - cost["unzipped"]
    gain = bare["total"]["median"] - variants["layer"]["total"]["median"]
    assert cost["gain_ms"] == pytest.approx(gain, abs=0.05)
    assert 0 < cost["zipped"] < cost["unzipped"]
    assert report["judged_ms"] == pytest.approx(variants["layer"]["total"]["median"], abs=0.02)
    parts = report["phases"]
    assert set(parts["modules"]) == {"PIL"}
    init = parts["runtime_ms"] + parts["layer_ms"] + parts["own_ms"]
    assert init == pytest.approx(variants["layer"]["init"]["median"], abs=0.05)
    billed = {(one["variant"], one["memory"]): one for one in report["billed"]}
    assert len(billed) == len(variants) * 3
    whole = billed["layer", 1769]
    assert whole["init_ms"] == variants["layer"]["init"]["median"], "the model changes nothing"
    assert billed["layer", 512]["init_ms"] > whole["init_ms"]
    assert whole["million"]["median"] == report["judged_price"]
    assert report["currency"] == "USD"
    assert "pillow" in tree["by_distribution"]
    pillow = find(tree["roots"], "PIL.Image")
    assert pillow["distribution"] == "pillow"
    assert "PIL._imaging" in {one["module"] for one in pillow["children"]}


@pytest.mark.slow
@pytest.mark.docker
def test_emulated_times_become_an_estimate(measure: Callable[..., Any], engine: Runner) -> None:
    report, _ = measure("--starts", "1", "--without", "plain", "--without", "no-bytecode")
    if engine.emulation.native:
        assert report["kind"] == "measurement"
        return
    assert report["kind"] == "estimate"
    known = report["calibration"]
    assert known["factor"] == pytest.approx(known["emulated_ms"] / known["native_ms"], rel=0.01)
    assert known["factor"] > 1
    layer, floor = report["comparisons"]
    assert (layer["variant"], floor["variant"]) == ("layer", "floor")
    assert report["judged_ms"] == layer["estimate_ms"]
    measured = report["variants"][0]["total"]["median"]
    assert layer["estimate_ms"] == pytest.approx(measured / known["factor"], abs=0.1)
    off = (layer["estimate_ms"] / layer["twin_ms"] - 1) * 100
    assert layer["off_percent"] == pytest.approx(off, abs=0.1)


@pytest.mark.slow
def test_over_the_budget_is_exit_code_7(
    call: Call, built: Callable[[str], Path], tmp_path: Path
) -> None:
    if uv.interpreter(13, install=False) is None:
        pytest.skip("no CPython 3.13 on this machine")
    (tmp_path / "layers.yaml").write_text(
        "layers:\n  imaging:\n    description: Pillow\n    version: 1.0.0\n"
        '    runtimes: ["python3.13"]\n    requirements: [pillow]\n'
        "    budgets: {cold-start: 1ms}\n"
    )
    done = call(
        *("coldstart", "--config", str(tmp_path / "layers.yaml"), "--runner", "host"),
        *("--dist", str(built("python3.13")), "--starts", "1", "--without", "plain"),
    )
    assert done.returncode == 7
    assert "the budget is 1 ms" in done.stderr
    assert "raise budgets.cold-start (layers.yaml:7:15)" in done.stderr
    assert "OVER the budget" in done.stdout


LAYERS_YAML = f"""\
layers:
  demo:
    description: one module
    version: 1.0.0
    runtimes: [{HERE}]
    architectures: [arm64]
    files: {{python/demo.py: demo.py}}
    smoke: smoke.py
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run verbs on a layer of one module, and return what they print as data."""
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    (tmp_path / "layers.yaml").write_text(LAYERS_YAML)
    (tmp_path / "demo.py").write_text("VALUE = 1\n")
    (tmp_path / "smoke.py").write_text("def test_it():\n    import demo\n")
    (tmp_path / "smoke_coldstart.py").write_text(
        "import demo\n\ndef handler(event, context):\n    return demo.VALUE\n"
    )

    def run(*words: str) -> Any:
        done = cli.layers(*words, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return data_of(done.stdout)

    run("lock")
    run("build")
    return run


def test_an_earlier_zip_is_started_in_turns(project: Callable[..., Any], tmp_path: Path) -> None:
    without = (f"--without={name}" for name in ("no-bytecode", "plain", "floor"))
    words = ("coldstart", "--runner", "host", "--starts", "3", *without)
    shutil.copytree(tmp_path / "dist", tmp_path / "before")
    [same] = project(*words, "--against", "before")
    assert same["against"]["ratio"] is None, "the same bytes are not measured twice"

    (tmp_path / "demo.py").write_text("import time\ntime.sleep(0.5)\nVALUE = 1\n")
    project("build")
    (tmp_path / "step.md").unlink()
    [report] = project(*words, "--against", "before", "--summary")
    new, old = report["variants"]
    assert (new["name"], old["name"]) == ("layer", "before")
    rounds = [
        (one["init_ms"] + one["call_ms"]) / (other["init_ms"] + other["call_ms"])
        for one, other in zip(new["samples"], old["samples"], strict=True)
    ]
    ratio = report["against"]["ratio"]["total"]
    assert ratio["median"] == pytest.approx(sorted(rounds)[1], abs=0.01)
    assert min(one["init_ms"] for one in new["samples"]) >= 500
    told = f"cold start {ratio['median']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})"
    assert told in (tmp_path / "step.md").read_text()
    project("summary", "--before", "before", "--out", "summary.md")
    assert f"zipped; {told} of that of 1.0.0 before" in (tmp_path / "summary.md").read_text()

    (tmp_path / "before" / f"{report['identifier'].replace('demo', 'demo-1.0.0')}.zip").unlink()
    [alone] = project(*words, "--against", "before")
    assert alone["against"] is None
    assert "is not beside its manifest" in alone["notes"][0]


def find(nodes: list[dict[str, Any]], module: str) -> dict[str, Any]:
    """Return the node of a module in a tree of imports."""
    for node in nodes:
        if node["module"] == module:
            return node
        below = find(node["children"], module)
        if below:
            return below
    return {}

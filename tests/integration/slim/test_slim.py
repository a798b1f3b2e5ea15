"""`slim` from the command line: what it finds, what it leaves, and that its lines hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from layersmith.prove.slim.models import WatchRecord
from layersmith.prove.slim.trace import in_zip

from tests.support.envelopes import data_of

from .conftest import LAYERS_YAML

if TYPE_CHECKING:
    from tests.integration.build.conftest import Project

WORDS = ("slim", "--layer", "engine", "--at-least", "1kB")


def slim(project: Project, *words: str) -> dict[str, Any]:
    [found] = data_of(project.run(*WORDS, "--json", *words).stdout)
    assert isinstance(found, dict)
    return found


def patterns(report: dict[str, Any], key: str) -> set[str]:
    return {one["pattern"] for one in report[key]}


def test_finds_what_nothing_needs_and_its_lines_hold(project: Project) -> None:
    report = slim(project)
    # command.py is too small for a line, and goes because it would break without the server.
    assert patterns(report, "survived") == {"ballast", "engine/server/", "engine/command.py"}
    assert patterns(report, "offered") == {"engine/lazy.py", "engine/samples/", "engine/tables/"}
    assert report["rejected"] == []
    assert report["proofs"] == 2

    # Nothing was changed, and no copy is left in the cache.
    assert (project.root / "layers.yaml").read_text() == LAYERS_YAML
    assert not project.dist.exists()
    assert len(list((project.cache / "layers").iterdir())) == 1

    # The lines, merged into layers.yaml, make a layer of the size that was promised.
    merged = yaml.safe_load(LAYERS_YAML)
    merged["layers"]["engine"] |= yaml.safe_load(report["fragment"])["layers"]["engine"]
    project.write(yaml.safe_dump(merged))
    [built] = project.build()
    [target] = report["targets"]
    assert built["artifact"]["unzipped"] == target["after"]["unzipped"]
    assert target["after"]["unzipped"] < target["before"]["unzipped"] * 0.6


def test_what_the_proofs_loaded_is_kept_beside_the_zip(project: Project) -> None:
    [built] = project.build()
    slim(project, "--limit", "0")
    [path] = project.dist.glob("*.watched.json")
    record = WatchRecord.model_validate_json(path.read_bytes())
    assert record.sha256 == built["artifact"]["sha256"]
    assert record.proofs[0] == "smoke.py"
    assert {"python/engine/core.py", "python/engine/data.txt"} <= set(record.loaded)
    assert not [path for path in record.loaded if "ballast" in path or "server" in path]


def test_a_library_is_the_same_in_the_wheel_of_a_twin() -> None:
    paths = ["python/a.libs/libwebp-0a1b2c3d.so.7.1.8", "python/a.libs/libtiff-0a1b2c3d.so.6"]
    assert in_zip(paths, {"python/a.libs/libwebp-deadbeef.so.7.1.8"}) == paths[:1]


@pytest.mark.slow
def test_bold_puts_back_what_the_proofs_miss(project: Project) -> None:
    """That tables/ exists is asked in a way that no watch sees, and fails without its name."""
    report = slim(project, "--bold")
    assert {"engine/lazy.py", "engine/samples/"} <= patterns(report, "survived")
    assert patterns(report, "rejected") == {"engine/tables/"}
    assert report["offered"] == []
    assert 2 < report["proofs"] < 15


def test_a_layer_that_holds_no_sources_is_read_all_the_same(project: Project) -> None:
    project.write(LAYERS_YAML + "    bytecode: only\n")
    report = slim(project)
    assert patterns(report, "survived") == {"ballast", "engine/server/", "engine/command.py"}
    assert "engine/lazy.py" in patterns(report, "offered")


def test_a_layer_must_pass_its_proofs_first(project: Project) -> None:
    (project.root / "smoke.py").write_text("def test_no():\n    assert 1 == 2\n")
    done = project.run(*WORDS, check=8)
    assert "does not pass its proofs unchanged" in done.stderr
    assert "assert 1 == 2" in done.stderr


def test_a_layer_needs_a_smoke_file(project: Project) -> None:
    project.write(LAYERS_YAML.replace("    smoke: smoke.py\n", ""))
    done = project.run(*WORDS, check=2)
    assert "file that shows what it must be able to do" in done.stderr


def test_a_size_that_is_none(project: Project) -> None:
    done = project.run("slim", "--at-least", "much", check=2)
    assert "--at-least much" in done.stderr


def test_choices_are_built_and_started_beside_the_layer(project: Project) -> None:
    [built] = project.build()
    without = ("--without=plain", "--without=floor")
    words = ("coldstart", "--choices", "--runner", "host", "--starts", "2", "--json", *without)
    [before] = data_of(project.run(*words).stdout)
    assert [one["name"] for one in before["choices"]] == ["bytecode-none", "bytecode-only"]
    assert "slim is not measured: `slim engine` has not been run" in before["notes"]
    assert "recipes-all is not measured: it is the same zip" in before["notes"]

    slim(project)
    [report] = data_of(project.run(*words).stdout)
    found = {one["name"]: one for one in report["choices"]}
    assert set(found) == {"bytecode-none", "bytecode-only", "slim"}
    # Sources and bytecode, one of both, and both without what nothing needs.
    for one in found.values():
        assert one["unzipped"] < built["artifact"]["unzipped"]
        assert one["zipped"] < built["artifact"]["zipped"]
        assert one["saved"]["million"] is not None
    timed = {one["name"]: one["samples"] for one in report["variants"]}
    assert set(timed) == {"layer", *found}, "the sources alone are one of the choices"
    rounds = zip(timed["layer"], timed["slim"], strict=True)
    saved = [
        one["init_ms"] + one["call_ms"] - other["init_ms"] - other["call_ms"]
        for one, other in rounds
    ]
    assert found["slim"]["saved"]["ms"]["low"] == pytest.approx(min(saved), abs=0.01)
    assert report["bytecode"]["gain_ms"] is not None

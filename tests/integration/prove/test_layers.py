"""The layers of this repository, as built, in the runtimes they were built for."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from layersmith.base import uv

from tests.support.envelopes import data_of

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Call

pytestmark = pytest.mark.slow


def need_python(minor: int) -> None:
    """Skip where this machine has no such interpreter for the host runner."""
    if uv.interpreter(minor, install=False) is None:
        pytest.skip(f"no CPython 3.{minor} on this machine")


@pytest.mark.parametrize(
    "runtime",
    [pytest.param(name, marks=pytest.mark.docker(name)) for name in ("python3.13", "python3.14")],
)
def test_every_layer_and_function_in_the_arm64_runtime(
    call: Call, built: Callable[[str], Path], runtime: str
) -> None:
    dist = built(runtime)
    done = call("smoke", "--runtime", runtime, "--dist", str(dist), "--json")
    assert done.returncode == 0, done.stderr
    found = data_of(done.stdout)
    layers = {one["identifier"]: one for one in found["layers"]}
    vector = layers[f"chromadb-vector-{runtime}-arm64"]
    assert vector["runner"]["kind"] == "docker"
    assert vector["runner"]["architecture"] == "arm64"
    assert not vector["runner"]["twin"]
    assert vector["forbidden"] == {
        "patterns": ["PIL", "onnxruntime"],
        "present": [],
        "loaded": [],
        "after": "smoke file",
    }
    passed = {one["name"] for one in vector["smoke"]["tests"] if one["outcome"] == "passed"}
    assert {"test_async_session", "test_query_agrees_with_exact_distances"} <= passed
    assert vector["imports"]["modules"] > 200
    imaging = layers[f"imaging-{runtime}-arm64"]
    assert all(one["outcome"] == "passed" for one in imaging["smoke"]["tests"])
    assert vector["warnings"] == imaging["warnings"] == []
    written = dist / f"chromadb-vector-1.0.0-{runtime}-arm64.smoke.json"
    assert json.loads(written.read_text()) == vector


def test_the_host_twin_of_another_runtime(call: Call, built: Callable[[str], Path]) -> None:
    need_python(12)
    dist = built("python3.12")
    words = ["--runtime", "python3.12", "--dist", str(dist), "--runner", "host", "--json"]
    done = call("smoke", *words)
    assert done.returncode == 0, done.stderr
    for one in data_of(done.stdout)["layers"]:
        assert one["runner"]["twin"]
        assert one["architecture"] == "arm64"
        assert one["runner"]["architecture"] != "arm64"
        assert "not a proof" in one["warnings"][0]


def test_a_layer_that_was_not_built(call: Call, tmp_path: Path) -> None:
    done = call("smoke", "--layer", "imaging", "--runner", "host", "--dist", str(tmp_path))
    assert done.returncode != 0
    assert "imaging-python3.12-arm64" in done.stderr
    assert "nox -s build" in done.stderr


Prove = Callable[[str], subprocess.CompletedProcess[str]]


class TestBrokenLayers:
    """Layers whose proof must fail, on the host runner, by the command line."""

    @pytest.fixture
    def project(self, tmp_path: Path, built: Callable[[str], Path]) -> Path:
        runtime = f"python3.{sys.version_info[1]}"
        if runtime not in {"python3.12", "python3.13"}:
            runtime = "python3.13"
        need_python(int(runtime.partition(".")[2]))
        dist = built(runtime)
        for path in dist.glob("imaging-*"):
            shutil.copy(path, tmp_path)
        (tmp_path / "layers.yaml").write_text(
            f"""
layers:
  imaging:
    description: Pillow
    version: 1.0.0
    runtimes: ["{runtime}"]
    requirements: [pillow]
    smoke: smoke.py
    forbid-imports: [PIL.ImageFont]
    import-exceptions:
      PIL.F*: not looked at here
      PIL.ImageTk: not looked at here
      PIL.M*: not looked at here
      PIL._*: not looked at here
"""
        )
        return tmp_path

    @pytest.fixture
    def prove(self, project: Path, call: Call) -> Prove:
        def proved(smoke: str) -> subprocess.CompletedProcess[str]:
            (project / "smoke.py").write_text(smoke)
            words = ["--config", str(project / "layers.yaml"), "--dist", str(project)]
            return call("smoke", *words, "--runner", "host")

        return proved

    def test_a_failing_smoke_test_is_exit_code_8(self, prove: Prove) -> None:
        done = prove("def test_sum():\n    assert 1 + 1 == 3\n")
        assert done.returncode == 8
        assert "smoke.py: test_sum failed" in done.stderr
        assert "assert (1 + 1) == 3" in done.stderr
        assert "NOT PROVEN" in done.stdout

    def test_a_smoke_file_that_does_not_import(self, prove: Prove) -> None:
        done = prove("import nothing_like_this\n")
        assert done.returncode == 8
        assert "No module named 'nothing_like_this'" in done.stderr

    def test_a_smoke_file_without_tests(self, prove: Prove) -> None:
        done = prove("x = 1\n")
        assert done.returncode == 8
        assert "found no test" in done.stderr

    def test_a_smoke_file_that_kills_the_runtime(self, prove: Prove) -> None:
        done = prove("import os\n\ndef test_exit():\n    os._exit(9)\n")
        assert done.returncode == 8
        assert "exit status 9" in done.stderr

    def test_forbidden_modules(self, prove: Prove) -> None:
        done = prove("from PIL import ImageFont\n\ndef test_it():\n    pass\n")
        assert done.returncode == 8
        assert "forbidden modules are in the layer: PIL.ImageFont" in done.stderr
        assert "forbidden modules are loaded after the smoke file: PIL.ImageFont" in done.stderr

"""A runtime that nobody has heard of is one entry in the table, through every verb."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from layersmith.base import runtimes

from tests.integration.lock.index import Handler, Index, serving
from tests.support.envelopes import data_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]

ENTRY = """
[runtimes."python3.99"]
os = "al2023"
provided = "2026-11"
image = "public.ecr.aws/lambda/python:3.99"
phase = "general"
deprecated = 2026-01-02
no-create = 2026-02-03
"""

LAYERS = """\
layers:
  demo:
    description: d
    version: 1.0.0
    runtimes: [python3.99]
    requirements: [plain]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project for the invented runtime, beside an index on loopback."""
    offered = tmp_path / "index"
    offered.mkdir()
    index = Index(offered)
    index.wheel("plain", "1.0")
    table = tmp_path / "runtimes.toml"
    table.write_text(runtimes.TABLE.read_text("utf-8") + ENTRY, encoding="utf-8")
    monkeypatch.setenv(runtimes.VARIABLE, str(table))
    monkeypatch.delenv("LAYERSMITH_IMAGE", raising=False)
    root = tmp_path / "project"
    root.mkdir()
    (root / "layers.yaml").write_text(LAYERS, encoding="utf-8")
    with serving(index, type("RuntimesIndex", (Handler,), {}), tmp_path, monkeypatch):
        yield root


def run(project: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "build" / "layers.py"), *words],
        cwd=project,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_an_invented_runtime_takes_one_entry(project: Path) -> None:
    planned = run(project, "plan", "--matrix")
    (job,) = json.loads(planned.stdout)["include"]
    assert job["runtime"] == "python3.99"
    assert job["python-version"] == "3.99"
    warning = "AWS has deprecated python3.99 since 2026-01-02"
    assert planned.stderr.count(warning) == 1
    assert "no function can be created from 2026-02-03" in planned.stderr

    run(project, "lock")
    assert "plain==1.0" in (project / "locks/demo-python3.99-arm64.txt").read_text()

    built = run(project, "build", "--json")
    assert built.stderr.count(warning) == 1
    assert "no CPython 3.99" in built.stderr
    (zipped,) = (project / "dist").glob("*.zip")
    assert zipped.name == "demo-1.0.0-python3.99-arm64.zip"

    (report,) = data_of(run(project, "audit", "--json").stdout)["reports"]
    assert report["runtime"] == "python3.99"
    assert report["findings"] == []

    refused = run(project, "smoke", "--runner", "host", code=8)
    assert "3.99" in refused.stderr
    assert "next:" in refused.stderr


def test_its_bytecode_is_not_known_and_audit_says_so(project: Path) -> None:
    run(project, "lock")
    run(project, "build")
    (zipped,) = (project / "dist").glob("*.zip")
    import zipfile

    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr("python/plain.pyc", bytes(20))
    words = ("audit", str(zipped), "--runtime", "python3.99", "--arch", "arm64")
    assert "the bytecode of python3.99 is not known" in run(project, *words, code=2).stderr


@pytest.mark.docker
def test_no_stand_in_is_made_of_a_suite_that_is_not_named(project: Path) -> None:
    refused = run(project, "image", "--runtime", "python3.99", code=8)
    assert "no stand-in for python3.99" in refused.stderr
    assert "python3.13" in refused.stderr


def test_a_table_that_is_missing_is_said_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtimes.VARIABLE, "gone.toml")
    assert "the table of runtimes gone.toml cannot be read" in run(project, "plan", code=2).stderr

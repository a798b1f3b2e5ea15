"""`python build/layers.py lock` as a process: answers, interruptions, and the committed locks."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
from layersmith import lock
from layersmith.errors import LockError

from tests.support import clocks
from tests.support.cli import argv
from tests.support.envelopes import data_of

from .conftest import ROOT, Project, versions
from .index import Index

if TYPE_CHECKING:
    from pathlib import Path


def test_the_verb(project: Project, index: Index) -> None:
    index.wheel("a", "1.0", requires=["b"])
    index.wheel("b", "1.0")
    project.write("requirements: [a]")
    first = project.cli()
    assert first.returncode == 0
    assert first.stdout == ""
    assert "demo-python3.13-arm64: 2 distributions, 2 changed\n  + a 1.0\n  + b 1.0" in first.stderr
    (record,) = data_of(project.cli("--check", "--json").stdout)
    assert record == {
        "target": "demo-python3.13-arm64",
        "lock": "locks/demo-python3.13-arm64.txt",
        "distributions": 2,
        "changes": [],
        "notes": [],
        "error": None,
    }
    project.write("requirements: [a>=1]")
    stale = project.cli("--check")
    assert stale.returncode == 4
    assert "the lock no longer fits: requirements changed" in stale.stderr
    assert "nox -s lock -- --layer demo" in stale.stderr
    unknown = project.cli("--layer", "dmeo")
    assert unknown.returncode == 2
    assert "did you mean demo?" in unknown.stderr


def interrupted(project: Project, monkeypatch: pytest.MonkeyPatch, number: int) -> tuple[int, str]:
    """Send a signal while uv waits for an index that does not answer; return code and stderr."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        monkeypatch.setenv("UV_DEFAULT_INDEX", url)
        with subprocess.Popen(
            argv("lock"),
            cwd=project.root,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as running:
            silent.accept()[0].close()
            # As a terminal does: every process of the group gets the signal.
            os.killpg(running.pid, number)
            _, said = running.communicate(timeout=clocks.seconds(60))
    monkeypatch.setenv("UV_DEFAULT_INDEX", project.index.url)
    return running.returncode, said


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_uv_too_and_leaves_no_lock(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("requirements: [a]")
    code, said = interrupted(project, monkeypatch, signal.SIGINT)
    assert code == 130
    assert "interrupted" in said
    assert not list(project.root.rglob("*.txt*"))


def test_a_killed_run_leaves_the_old_lock_and_the_next_one_works(
    project: Project,
    index: Index,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # What is killed removes nothing, its scratch folder neither.
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("scratch")))
    index.wheel("a", "1.0")
    index.wheel("b", "1.0")
    project.write("requirements: [a]")
    project.lock()
    old = project.path().read_bytes()
    project.write("requirements: [b]")
    code, _ = interrupted(project, monkeypatch, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert project.path().read_bytes() == old
    assert versions(project.lock()) == {"b": "1.0"}
    assert [path.name for path in project.path().parent.iterdir()] == [project.path().name]


def test_two_runs_at_once_write_one_lock(project: Project, index: Index) -> None:
    index.wheel("a", "1.0")
    project.write("requirements: [a]", runtimes="python3.12, python3.13")
    runs = [
        subprocess.Popen(argv("lock"), cwd=project.root, stderr=subprocess.DEVNULL) for _ in "ab"
    ]
    assert [run.wait(timeout=clocks.seconds(60)) for run in runs] == [0, 0]
    for target in project.targets():
        assert versions(lock.check(target, project.root)) == {"a": "1.0"}
    assert len(list(project.path().parent.iterdir())) == 2


def test_the_committed_locks_fit() -> None:
    """Nothing is asked of an index: the inputs alone are compared."""
    committed = Project(ROOT, Index(ROOT))
    for target in committed.targets():
        found = lock.check(target, ROOT)
        assert found.entries
        assert "://" not in lock.lock_path(target, ROOT).read_text()


def test_what_the_committed_locks_name_is_still_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one test that asks the index that users have."""
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path))
    for target in Project(ROOT, Index(ROOT)).targets():
        if target.layer != "imaging":
            continue
        found = lock.check(target, ROOT)
        try:
            listed = lock.urls(found, target, root=ROOT)
        except LockError as error:
            if error.cause == "the package index cannot be reached":
                pytest.skip(error.cause)
            raise
        assert {name for _, name, _ in listed.values()} == {e.filename for e in found.entries}

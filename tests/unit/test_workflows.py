"""The workflows run what people run: nox sessions and verbs, nothing of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from layersmith.cli import VERBS

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
NOX = re.compile(
    r'^uvx (?:--from "?nox\[uv\]"? )?nox -s (?P<sessions>\w[\w-]*(?: \w[\w-]*)*)(?: -- .*)?$'
)
VERB = re.compile(r"^python3? build/layers\.py (?P<verb>[a-z]+)(?: .*)?$")
SESSIONS = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE))


def steps(path: Path) -> list[tuple[str, dict[str, Any]]]:
    workflow = yaml.safe_load(path.read_text("utf-8"))
    return [(name, step) for name, job in workflow["jobs"].items() for step in job.get("steps", [])]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_run_step_is_a_session_or_a_verb(path: Path) -> None:
    for job, step in steps(path):
        if "run" not in step:
            continue
        for line in step["run"].replace("\\\n", " ").strip().splitlines():
            command = " ".join(line.split())
            nox, verb = NOX.match(command), VERB.match(command)
            assert nox or verb, f"{path.name}, job {job}: {command}"
            if nox:
                named = {name.replace("-", "_") for name in nox["sessions"].split()}
                assert named <= SESSIONS, f"{path.name}: no session {named - SESSIONS}"
            if verb:
                assert verb["verb"] in VERBS


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_their_version(path: Path) -> None:
    for line in path.read_text("utf-8").splitlines():
        if (found := re.match(r"\s*(?:- )?uses: (?P<action>\S+)(?P<rest>.*)$", line)) is None:
            continue
        assert re.search(r"@[0-9a-f]{40}$", found["action"]), line
        assert re.search(r"# v\d", found["rest"]), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_nothing_is_permitted_at_the_top_and_every_job_has_a_limit(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text("utf-8"))
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        if "uses" not in job:
            assert "timeout-minutes" in job, name


def test_one_action_has_one_version() -> None:
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for _, step in steps(path):
            if "uses" in step:
                action, _, commit = step["uses"].partition("@")
                pins.setdefault(action, set()).add(commit)
    assert {action: commits for action, commits in pins.items() if len(commits) > 1} == {}

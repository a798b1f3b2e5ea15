"""The completion scripts, in the shells themselves."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from layersmith import cli

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def script(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Path:
    path = tmp_path / "script"
    capsys.readouterr()
    assert cli.main(["completion", request.param]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    path.write_text(said.out)
    return path


@pytest.mark.parametrize("script", ["bash"], indirect=True)
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("bui", ["build"]),
        ("build --ba", ["--baseline"]),
        ("build --arc", ["--arch"]),
        ("slim --runner d", ["docker"]),
        ("publish ", ["plan", "apply", "fetch"]),
        ("publish apply --js", ["--json"]),
        ("completion z", ["zsh"]),
    ],
)
def test_bash_completes(script: Path, typed: str, offered: list[str]) -> None:
    bash = shutil.which("bash")
    assert bash
    words = ["layersmith", *typed.split(" ")]
    quoted = " ".join(f"'{word}'" for word in words)
    program = (
        f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1};"
        ' _shtab_layersmith; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run([bash, "-c", program], capture_output=True, text=True, check=True)
    assert [word.strip() for word in done.stdout.splitlines() if word.strip()][
        : len(offered)
    ] == offered


@pytest.mark.parametrize("script", ["zsh"], indirect=True)
def test_zsh_is_offered_every_verb(script: Path) -> None:
    text = script.read_text()
    assert text.startswith("#compdef layersmith")
    for verb, meaning in cli.VERBS.items():
        assert re.search(rf"^    {verb}:['\"]{re.escape(meaning[:8])}", text, re.MULTILINE), verb
    zsh = shutil.which("zsh")
    if zsh:
        subprocess.run([zsh, "-n", str(script)], check=True)

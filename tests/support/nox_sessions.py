"""Runs sessions of the noxfile in the current folder as nox does, without installing anything.

    nox_sessions.py -s SESSION [SESSION ...] -- WORDS
    nox_sessions.py FOLDER/build/layers.py VERB WORDS      one verb, without a session

Verbs of the tool, git and gh run for real. What a session would install, and programs that only it
would have, are written to passed-over.jsonl in the home folder. A verb that needs Docker runs up
to the point where the engine would be asked: its options, its zips and its image are judged. Of a
stage's deployment, which is rehearsed elsewhere, the options are.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

REAL = ("python", "git", "gh")


class CommandFailed(Exception):
    """Stands for nox.command.CommandFailed."""


class Session:
    """Stands for nox.Session."""

    def __init__(self, posargs: list[str]) -> None:
        self.posargs = posargs

    def install(self, *words: str) -> None:
        if "-r" in words:
            assert Path(words[words.index("-r") + 1]).is_file(), words
        passed_over("install", *words)

    def run(
        self,
        *words: str,
        silent: bool = False,
        stderr: int | None = subprocess.STDOUT,
        external: bool = False,
        env: dict[str, str] | None = None,
    ) -> str | bool:
        if words[0] not in REAL or words[:2] == ("python", "-m"):
            passed_over(*words)
            return True
        if words[:2] == ("python", "build/layers.py") and judged(list(words[2:])):
            return True
        assert external or words[0] == "python", f"{words[0]} is not of the session"
        argv = [sys.executable if words[0] == "python" else words[0], *words[1:]]
        sys.stdout.flush()
        out = subprocess.PIPE if silent else None
        told = stderr if silent else None
        done = subprocess.run(argv, stdout=out, stderr=told, text=True, check=False)
        if done.returncode:
            raise CommandFailed(f"{' '.join(words)}: exit code {done.returncode}")
        return done.stdout if silent else True

    def create_tmp(self) -> str:
        return os.environ["RUNNER_TEMP"]

    def log(self, text: str) -> None:
        print(text, file=sys.stderr)

    warn = log

    def error(self, text: str) -> NoReturn:
        raise CommandFailed(text)


def passed_over(*words: str) -> None:
    with Path.home().joinpath("passed-over.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(words) + "\n")


def parsed(words: list[str]) -> argparse.Namespace:
    """Return the options of a verb, as the tool of this clone reads them."""
    from layersmith import cli
    from layersmith.verbs import options

    module = importlib.import_module(f"layersmith.verbs.{words[0]}")
    args = cli.parser_of(words[0], module).parse_args(words[1:])
    if hasattr(args, "config"):
        options.settle(args)
    return args


def judged(words: list[str]) -> bool:
    """Judge a verb that needs what a test has not got; whether it is such a verb."""
    if words[0] == "smoke" and parsed(words).runner == "docker":
        judge_proof(words)
        return True
    if words[0] == "image":
        pin(words)
        return True
    if words[0] == "deploy":
        parsed(words)
        passed_over("python", "build/layers.py", *words)
        return True
    return False


def judge_proof(words: list[str]) -> None:
    """Choose what `smoke --docker` would start, on an engine that has no image yet."""
    from layersmith.engine.models import ImageFacts
    from layersmith.prove import base_images
    from layersmith.report import tables
    from layersmith.verbs import options

    engine: Any = SimpleNamespace(
        image=lambda name: None,
        pull=lambda name, architecture: ImageFacts(name, "sha256:0", None, architecture, {}),
    )
    args = parsed(words)
    for target in options.chosen(args)[1]:
        zipped = args.dist / f"{target.stem}.zip"
        assert zipped.is_file(), f"{zipped} has not been built"
        choice = base_images.choose(engine, target.runtime, target.architecture)
        tables.step_summary(f"Proven for {target.runtime.name} in {choice.described}.")


def pin(words: list[str]) -> None:
    """Do what `image --pin` does, with digests that follow from the names."""
    from layersmith.base import runtimes
    from layersmith.prove import base_images

    args = parsed(words)
    assert args.pin
    engine: Any = SimpleNamespace(registry_digest=lambda name, _: digest(name))
    wanted = [runtimes.get(name) for name in args.runtime]
    base_images.pin(engine, wanted, Path(base_images.__file__).with_name("images.json"))


def digest(name: str) -> str:
    return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def stand_in() -> ModuleType:
    """Return a module that a noxfile can import as nox."""
    nox: Any = ModuleType("nox")
    nox.options, nox.command = SimpleNamespace(), SimpleNamespace(CommandFailed=CommandFailed)
    nox.session = lambda function: function
    nox.project = SimpleNamespace(
        load_toml=lambda path: tomllib.loads(Path(path).read_text("utf-8")),
        dependency_groups=lambda project, group: [f"group {group}"],
    )
    found: ModuleType = nox
    return found


def tool(script: Path, words: list[str]) -> int:
    """Run a verb as the Python does that `uv venv` makes for the tool; return its exit code."""
    root = script.resolve().parents[1]
    parts = ("build", "lambdas/common/src", "fargate/chroma")
    sys.path[:0] = [str(root / part) for part in parts]
    if judged(words):
        return 0
    return subprocess.run([sys.executable, str(script), *words], check=False).returncode


def main() -> None:
    if Path(sys.argv[1]).name == "layers.py":
        sys.exit(tool(Path(sys.argv[1]), sys.argv[2:]))
    parser = argparse.ArgumentParser()
    parser.add_argument("-s", "--sessions", nargs="+", required=True)
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    sys.modules["nox"] = stand_in()
    # The tool of the clone, for what is judged in this process.
    sys.path[:0] = ["build", "lambdas/common/src", "fargate/chroma"]
    functions = runpy.run_path("noxfile.py")
    for name in parser.parse_args(words[:cut]).sessions:
        try:
            functions[name.replace("-", "_")](Session(words[cut + 1 :]))
        except CommandFailed as problem:
            sys.exit(f"session {name} failed: {problem}")


if __name__ == "__main__":
    main()

"""`completion`: print the completion script of a shell."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cli, console

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EPILOG = """\
Completes verbs, options and files of the command `layersmith`. The script is complete in itself:
the tool is not started while you type. Print it again after an update, or after an extra was
installed: options of verbs whose extra is missing are left out, and named on stderr.

examples:
  layersmith completion bash > ~/.local/share/bash-completion/completions/layersmith
  layersmith completion zsh > ~/.zfunc/_layersmith        with fpath+=~/.zfunc before compinit
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    parser.add_argument("shell", choices=("bash", "zsh"), help="which shell")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    import shtab  # noqa: PLC0415 -- other verbs do not wait for it

    script = shtab.complete(_whole(shtab.FILE), args.shell)
    if args.json:
        console.emit_json({"shell": args.shell, "script": script})
    else:
        console.emit_text(script)
    return 0


def _whole(files: Mapping[str, object]) -> argparse.ArgumentParser:
    """Return one parser with every verb as a sub-verb.

    Args:
        files: How each shell completes the name of a file.
    """
    whole = argparse.ArgumentParser(prog="layersmith")
    whole.add_argument("--version", action="version", version="", help="print the version")
    verbs = whole.add_subparsers(dest="verb")
    for verb, text in cli.VERBS.items():
        parser = verbs.add_parser(verb, help=text)
        try:
            cli.furnish(parser, importlib.import_module(f"layersmith.verbs.{verb}"))
        except ModuleNotFoundError as missing:
            console.warn(f"options of {verb} are left out: {missing.name} is not installed")
    for action in _actions(whole):
        if action.type is Path:
            vars(action)["complete"] = files
    return whole


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for leaf in cli.leaves(parser):
        yield from leaf._actions

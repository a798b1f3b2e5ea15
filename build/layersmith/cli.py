"""The command line: finds the verb, runs it, and turns errors into messages and exit codes.

A verb is a module of layersmith.verbs with ``configure(parser)`` and ``run(args) -> int``. Only
the verb that was called is imported, so that a build never waits for boto3 or a plotting library.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

from layersmith import __version__, console, extras, process
from layersmith.base import disk
from layersmith.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    AuditError,
    BudgetError,
    BuildError,
    ConfigError,
    Interrupted,
    LayersmithError,
    LockError,
    ManyErrors,
    ProofError,
    ShipError,
    UsageError,
    closest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FORMAT = 1
"""Version of the envelope that ``--json`` prints."""

KINDS: dict[int, type[LayersmithError]] = {
    kind.exit_code: kind
    for kind in (ConfigError, LockError, BuildError, AuditError, BudgetError, ProofError, ShipError)
}

VERBS = {
    "weigh": "show how large a requirement is, what pulls it in, and whether it fits Lambda",
    "init": "write layers.yaml, smoke files and a workflow for the repository it runs in",
    "plan": "list the targets of layers.yaml; --matrix prints the GitHub job matrix",
    "lock": "resolve requirements into locks/, one hash-pinned file per target",
    "build": "make the zip, manifest and SBOM of every target in dist/",
    "audit": "check built zips against what their runtime can load",
    "advisories": "look up known vulnerabilities of everything in locks/ and dist/",
    "schema": "print or check the JSON Schema and the reference of layers.yaml",
    "image": "make a base image for the proofs, without a container registry",
    "smoke": "start built layers in the Lambda runtime and prove that they work",
    "coldstart": "measure how long a layer takes from start to first answer",
    "lazy": "propose imports of a function's own code that can wait, each measured",
    "slim": "find what can be removed from a layer, and prove that it still works",
    "recipe": "list, draft and prove recipes: what layers can do without, as data",
    "why": "tell what brought a file, module or library into layers, or left it out",
    "sbom": "print the bill of materials of a layer or a whole function, as CycloneDX or SPDX",
    "diff": "compare two manifests or locks",
    "summary": "say in Markdown which layers are built, proven and within budget",
    "report": "write the HTML report of everything in dist/",
    "release": "bump a layer's version, check that it fits, write changelog and tag",
    "publish": "plan or apply the publication of layers to every region",
    "reproduce": "build a published layer again from its commit and compare the bytes",
    "verify": "check in every region that what is published is what was built",
    "arn": "print the ARN of a published layer",
    "promote": "move a layer's latest pointer to a version",
    "rollback": "move a layer's latest pointer back",
    "yank": "mark a version as withdrawn and move its pointers to another version",
    "gc": "delete old versions that nothing uses",
    "cost": "show what storage, builds and sessions cost",
    "deploy": "create or update the CloudFormation stacks of a stage",
    "destroy": "remove the stacks of a stage; data is kept by default",
    "stacks": "list the stacks in their order, and draw the state machines",
    "session": "run work against an ephemeral Chroma server",
    "doctor": "check this machine for what the verbs need, and show how to install the rest",
    "completion": "print the completion script of bash or zsh",
    "vectors": "snapshot, restore, compact and check Chroma's data on S3 or in a folder",
}


OLDER = {"analyze": "weigh"}
"""Verbs under the names that they had before; they work, and are not listed."""


class VerbParser(argparse.ArgumentParser):
    """A parser whose complaints are errors like all others."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            UsageError: Always.
        """
        raise UsageError(message, hint=f"see `{self.prog} --help`")


def main(argv: Sequence[str]) -> int:
    """Run one verb and return the exit code of the process."""
    words = list(argv)
    words[:1] = [OLDER.get(word, word) for word in words[:1]]
    if not _wants_json(words):
        code, errors = _guarded(words)
        for one in errors:
            console.error(str(one))
        return code
    with console.json_kept() as kept:
        try:
            code, errors = _guarded(words)
        except Exception as bug:
            traceback.print_exc()
            code, errors = EXIT_BUG, [LayersmithError(f"{type(bug).__name__}: {bug}")]
        for one in errors:
            console.error(str(one))
    try:
        with disk.explained():
            console.emit_json(envelope(words[0], code, kept, errors))
            sys.stdout.flush()
    except LayersmithError as problem:
        console.error(str(problem))
        return code or problem.exit_code
    return code


def envelope(
    verb: str, code: int, kept: Sequence[Any], errors: Sequence[LayersmithError]
) -> dict[str, Any]:
    """Return what ``--json`` prints, docs/json/envelope.schema.json.

    Args:
        verb: The verb that ran.
        code: The exit code.
        kept: What the verb gave, the last one counts.
        errors: What went wrong; where the verb put it into its data, an entry points there.
    """
    data = kept[-1] if kept else None
    records = [record for one in errors for record in one.records()]
    if code and not records:
        found = KINDS.get(code, LayersmithError)("not everything is in order: see `data`")
        records = [{**record, "code": code} for record in found.records()]
    for record in records:
        record["next"] = console.as_called(record["next"]) if record["next"] else None
    return {"format": FORMAT, "verb": verb, "ok": code == 0, "data": data, "errors": records}


def _wants_json(words: Sequence[str]) -> bool:
    """Whether ``--json``, or what argparse takes for it, is among the options of a verb."""
    options = words[1 : words.index("--")] if "--" in words else words[1:]
    if not words or words[0].startswith("-") or {"-h", "--help"} & set(options):
        return False
    return any(len(word) > 2 and "--json".startswith(word) for word in options)


def _guarded(words: list[str]) -> tuple[int, list[LayersmithError]]:
    """Run a verb; return the exit code, and the errors that are told to the user."""
    try:
        with process.ended_by_ctrl_c():
            return _dispatch(words), []
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED, [Interrupted("interrupted")]
    except ManyErrors as many:
        return many.code, many.errors
    except LayersmithError as problem:
        return problem.exit_code, [problem]
    except ModuleNotFoundError as missing:
        lacking = extras.not_installed(missing.name, words[0])
        if lacking is None:
            raise
        return lacking.exit_code, [lacking]
    except BrokenPipeError:
        # The reader of a pipe went away (`... | head`): nothing is wrong on this side.
        sys.stderr.close()
        return 0, []


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in {"-h", "--help", "help"}:
        console.emit_text(console.as_called(_overview()))
        return 0
    if argv[0] in {"-V", "--version"}:
        console.emit_text(f"layersmith {__version__}")
        return 0
    verb = argv[0]
    if verb not in VERBS:
        close = closest(verb, VERBS)
        raise UsageError(f"unknown verb {verb!r}" + (f"; did you mean {close}?" if close else ""))
    module = importlib.import_module(f"layersmith.verbs.{verb}")
    args = parser_of(verb, module).parse_args(argv[1:])
    if hasattr(args, "config") or hasattr(args, "dist"):
        from layersmith.verbs import options  # noqa: PLC0415 -- imported by the verb already

        with disk.explained():
            options.settle(args)
    console.set_volume(quiet=args.quiet, verbose=args.verbose)
    config: Path | None = getattr(args, "config", None)
    root = config.parent if config and config.suffix else config
    with disk.explained(root=root, dist=getattr(args, "dist", None)):
        code = module.run(args)
        # Not when the interpreter ends: a full disk behind `>` could not be told any more.
        sys.stdout.flush()
    return EXIT_BUG if code is None else int(code)


def parser_of(verb: str, module: Any) -> VerbParser:
    """Return the parser of a verb, with the options that every verb has.

    Args:
        verb: Its name.
        module: Its module.
    """
    parser = VerbParser(
        prog=console.as_called(f"{console.PROGRAM} {verb}"),
        description=VERBS[verb],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    furnish(parser, module)
    return parser


def furnish(parser: argparse.ArgumentParser, module: Any) -> None:
    """Add the options of a verb to its parser, and those that every verb has.

    Args:
        parser: Of the verb.
        module: Of the verb.
    """
    module.configure(parser)
    for one in leaves(parser):
        one.epilog = console.as_called(one.epilog) if one.epilog else None
        _add_common(one)


def _add_common(parser: argparse.ArgumentParser) -> None:
    common = {
        "--json": (["--json"], "print the result as JSON"),
        "--quiet": (["-q", "--quiet"], "show no progress, only results"),
        "--verbose": (["-v", "--verbose"], "also show what child processes print"),
    }
    for name, (words, text) in common.items():
        if name not in parser._option_string_actions:
            parser.add_argument(*words, action="store_true", help=text)


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers that read a whole command: this one, or those of its sub-verbs."""
    below = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if not below:
        yield parser
    for action in below:
        for child in action.choices.values():
            yield from leaves(child)


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = [
        "usage: python build/layers.py VERB [options]",
        "",
        "Build locked, small, reproducible and tested AWS Lambda layers for ARM64.",
        "",
        "verbs, in the order in which they are used:",
        *(f"  {verb:<{width}}  {text}" for verb, text in VERBS.items()),
        "",
        "`python build/layers.py VERB --help` explains a verb.",
        "exit codes: 2 config, 3 something is not installed, or a file or folder of this machine",
        "            cannot be used, 4 lock, 5 build, 6 audit, 7 budget, 8 proof, 9 ship,",
        "            1 a bug of layersmith, 130 interrupted",
    ]
    return "\n".join(lines)

"""`schema`: print, write or check what is generated from the models of layers.yaml."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import cache, console
from layersmith.config import loader, schema
from layersmith.errors import ConfigError, LayersmithError, ManyErrors
from layersmith.recipes import reference as recipes

if TYPE_CHECKING:
    import argparse

EPILOG = """\
what is generated:
  docs/layers.schema.json   the JSON Schema, which layers.yaml names for editors
  docs/layers-yaml.md       the reference
  docs/recipes.schema.json  the JSON Schema of a recipe
  docs/recipes.md           what recipes are, and all that there are
  docs/json/VERB.schema.json   what `data` of the verb's --json holds, where a model describes it

examples:
  python build/layers.py schema            print the JSON Schema
  python build/layers.py schema --write    write both files
  python build/layers.py schema --check    exit code 2 if a file is not what would be written
  python build/layers.py schema --check layers.yaml      exit code 2 if it is not valid
"""

DATA: dict[str, dict[str, str]] = {
    "advisories": {"reports": "layersmith.supply.advisories.AdvisoryReport"},
    "weigh": {"reports": "layersmith.weigh.models.Weighing"},
    "audit": {
        "reports": "layersmith.audit.findings.AuditReport",
        "functions": "layersmith.audit.findings.Finding",
    },
    "coldstart": {"": "layersmith.prove.cold.models.ColdStartReport"},
    "diff": {"diffs": "layersmith.report.diffs.Diff"},
    "init": {
        "files": "layersmith.adopt.models.NewFile",
        "layers": "layersmith.adopt.models.FoundLayer",
        "functions": "layersmith.adopt.models.FoundFunction",
        "notices": "layersmith.adopt.models.Notice",
        "next": "builtins.str",
    },
    "lazy": {"": "layersmith.prove.cold.models.LazyReport"},
    "slim": {"": "layersmith.prove.slim.models.SlimReport"},
    "smoke": {
        "layers": "layersmith.prove.models.SmokeReport",
        "functions": "layersmith.prove.models.FunctionProof",
    },
    "reproduce": {"layers": "layersmith.supply.reproduce.Reproduction"},
    "sbom": {"bills": "layersmith.supply.bills.PrintedBill"},
    "vectors-plan": {"stores": "layersmith.ship.cost.vectors.StorePlan"},
    "vectors-migrate": {"collections": "chroma_store.stores.migrate.MigratedCollection"},
    "why": {"answers": "layersmith.report.why.WhyAnswer"},
}
"""Verb to the lists in its data, by key, and the model of their items; without a key the list is
the data itself. Actions with data of their own, as those of `vectors`, follow their verb.
tests/support/envelopes.py holds what the verbs print against the schemas."""

WRITE = "run `python build/layers.py schema --write` and commit docs/"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    parser.add_argument(
        "--docs",
        type=Path,
        default=Path("docs"),
        metavar="DIR",
        help="folder of the generated files (default: docs)",
    )
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="LAYERS_YAML",
        help="with --check: check these layers.yaml instead of the generated files",
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--write", action="store_true", help="write the files")
    choice.add_argument(
        "--check", action="store_true", help="write nothing; fail if they are out of date"
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        ConfigError: With --check, a file is missing or not what would be written.
        ManyErrors: A layers.yaml that --check names is not valid.
    """
    if args.files:
        return _check_valid(args)
    files = {
        args.docs / "layers.schema.json": schema.render(),
        args.docs / "layers-yaml.md": schema.reference(),
        args.docs / "recipes.schema.json": schema.render(recipes.schema()),
        args.docs / "recipes.md": recipes.render(),
        **{args.docs / "json" / f"{verb}.schema.json": render_data(verb) for verb in DATA},
    }
    if args.write:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            cache.write_text(path, text)
            console.success(f"wrote {path}")
    elif args.check:
        stale = [str(path) for path, text in files.items() if _read(path) != text]
        if stale:
            raise ConfigError(
                f"out of date: {', '.join(stale)}",
                cause="a model in build/layersmith/config or a recipe was changed",
                hint=WRITE,
            )
        console.success("the generated files are up to date")
    if args.json and (args.write or args.check):
        console.emit_json({"files": [str(path) for path in files]})
    elif args.json:
        console.emit_json(schema.schema())
    elif not (args.write or args.check):
        console.emit_text(schema.render().rstrip("\n"))
    return 0


def _check_valid(args: argparse.Namespace) -> int:
    """Check that files are valid layers.yaml, as a hook of pre-commit does."""
    if not args.check:
        raise ConfigError("files are only named with --check", hint="see `schema --help`")
    errors: list[LayersmithError] = []
    for path in args.files:
        try:
            loader.load(path)
        except LayersmithError as problem:
            errors.append(problem)
        else:
            console.success(f"{path} is valid")
    if errors:
        raise ManyErrors(errors)
    if args.json:
        console.emit_json({"files": [str(path) for path in args.files]})
    return 0


def render_data(verb: str) -> str:
    """Return the JSON Schema of a verb's data as it is written.

    Args:
        verb: One of ``DATA``.
    """
    from pydantic import TypeAdapter, create_model  # noqa: PLC0415 -- start-up time

    lists: dict[str, Any] = {}
    for key, dotted in DATA[verb].items():
        module, _, name = dotted.rpartition(".")
        lists[key] = list[getattr(importlib.import_module(module), name)]  # type: ignore[misc]
    fields: dict[str, Any] = {key: (kind, ...) for key, kind in lists.items()}
    whole = lists[""] if "" in lists else create_model(verb, **fields)
    found = TypeAdapter(whole).json_schema(mode="serialization")
    found = {"$schema": schema.DIALECT, **found, "title": f"data of {verb} --json"}
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None

"""`schema`: print, write or check what is generated from the models of layers.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache, console
from layersmith.config import reference, schema
from layersmith.errors import ConfigError

if TYPE_CHECKING:
    import argparse

EPILOG = """\
what is generated:
  docs/layers.schema.json   the JSON Schema, which layers.yaml names for editors
  docs/layers-yaml.md       the reference

examples:
  python build/layers.py schema            print the JSON Schema
  python build/layers.py schema --write    write both files
  python build/layers.py schema --check    exit code 2 if a file is not what would be written
"""

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
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--write", action="store_true", help="write the files")
    choice.add_argument("--check", action="store_true", help="write nothing; say if they are stale")
    choice.add_argument("--json", action="store_true", help="print the JSON Schema (the default)")


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        ConfigError: With --check, a file is missing or not what would be written.
    """
    files = {
        args.docs / "layers.schema.json": schema.render(),
        args.docs / "layers-yaml.md": reference.render(),
    }
    if args.write:
        for path, text in files.items():
            cache.write_text(path, text)
            console.success(f"wrote {path}")
    elif args.check:
        stale = [str(path) for path, text in files.items() if _read(path) != text]
        if stale:
            raise ConfigError(
                f"not what the models say: {', '.join(stale)}",
                cause="a model in build/layersmith/config was changed",
                hint=WRITE,
            )
        console.success("the generated files are what the models say")
    elif args.json:
        console.emit_json(schema.schema())
    else:
        console.emit_text(schema.render().rstrip("\n"))
    return 0


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None

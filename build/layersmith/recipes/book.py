"""Finds and reads recipes: the shipped ones, and those of a team, which win."""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name
from pydantic import ValidationError

from layersmith.errors import ConfigError, closest
from layersmith.recipes.models import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layersmith.config.document import Position
    from layersmith.config.loader import LoadedConfig

SHIPPED = Path(__file__).parent
"""Folder of the recipes that layersmith brings."""

HINT = "docs/recipes.md describes every key of a recipe"
TABLE = re.compile(r"^\s*\[\[?\s*(?P<name>[^]]+?)\s*\]\]?\s*(?:#.*)?$")
KEY = re.compile(r"""^\s*(?P<key>"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)\s*(?:=|\.)""")


@dataclass(frozen=True)
class KnownRecipe:
    """A recipe and where it is from.

    Attributes:
        name: Normalized name of its distribution.
        path: Its file.
        content: What it says.
        team: Whether it is from the folder that layers.yaml names.
    """

    name: str
    path: Path
    content: Recipe
    team: bool = False

    def stub(self, distribution: str) -> Path:
        """Return the folder of the stub for a distribution.

        Raises:
            KeyError: The recipe has none.
        """
        return self.path.parent / self.content.stubs[distribution].path


@dataclass(frozen=True)
class RecipeBook:
    """All recipes that there are for one layers.yaml.

    Attributes:
        team: Folder of a team's own recipes, absolute.
    """

    team: Path | None = None

    def names(self) -> list[str]:
        """Return the distributions that have a recipe, sorted.

        Raises:
            ConfigError: A file of the folders has not the normalized name of a distribution.
        """
        return sorted({*_files(SHIPPED), *(_files(self.team) if self.team else ())})

    def get(self, name: str) -> KnownRecipe | None:
        """Return the recipe of a distribution, or None where there is none.

        Raises:
            ConfigError: It is not valid; the message lists every problem with file and line.
        """
        own = _files(self.team).get(name) if self.team else None
        path = own or _files(SHIPPED).get(name)
        return KnownRecipe(name, path, read(path), team=own is not None) if path else None

    def overridden(self) -> list[str]:
        """Return the shipped recipes in whose place a team has its own."""
        return sorted(_files(SHIPPED).keys() & _files(self.team).keys()) if self.team else []

    def check_names(self, loaded: LoadedConfig) -> None:
        """Hold the names that layers.yaml takes recipes of against those that there are.

        Raises:
            ConfigError: A distribution has no recipe; the message lists every place.
        """
        known = self.names()
        found: dict[Position, ConfigError] = {}
        for layer, settings in loaded.config.layers.items():
            for number, name in enumerate(settings.recipes):
                if settings.recipes != "all" and name not in known:
                    position = loaded.position("layers", layer, "recipes", number)
                    found.setdefault(position, _unknown(loaded.path, position, name, known))
        if len(found) == 1:
            raise next(iter(found.values()))
        if found:
            errors = [found[position] for position in sorted(found)]
            listing = "\n  ".join(one.message for one in errors)
            message = f"{loaded.path.name} has {len(errors)} problems\n  {listing}"
            raise ConfigError(message, hint=errors[0].hint, parts=errors)


def _unknown(path: Path, position: Position, name: str, known: list[str]) -> ConfigError:
    close = closest(name, known)
    line, column = position
    return ConfigError(
        f"{path.name}:{line}:{column}: recipes: there is no recipe for {name}"
        + (f"; did you mean {close}?" if close else ""),
        hint="run `layersmith recipe list` to see them all, or put your own into `recipe-folder`",
        file=str(path),
        line=line,
        column=column,
    )


@functools.cache
def _files(folder: Path) -> dict[str, Path]:
    found = {path.stem: path for path in sorted(folder.glob("*.toml"))}
    for name, path in found.items():
        if name != canonicalize_name(name):
            raise ConfigError(
                f"{path.name} is not named after a distribution",
                hint=f"rename it to {canonicalize_name(name)}.toml",
                file=str(path),
            )
    return found


@functools.cache
def read(path: Path) -> Recipe:
    """Read and validate a recipe.

    Raises:
        ConfigError: It cannot be read or is not valid; the message lists every problem with file
            and line.
    """
    try:
        text = path.read_text("utf-8")
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(problem))
        message = f"not valid TOML: {str(problem).partition(' (at ')[0]}"
        raise _error(path, int(found[1]) if found else text.count("\n") + 1, message) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path} cannot be read: {problem}", hint=HINT) from None
    try:
        recipe = Recipe.model_validate(content, by_alias=True, by_name=False)
    except ValidationError as problem:
        raise _report(path, text, problem) from None
    for name, stub in recipe.stubs.items():
        if not (path.parent / stub.path).is_dir():
            line = line_of(text, ("stubs", name, "path"))
            raise _error(path, line, f"stubs.{name}.path: there is no folder {stub.path}")
    return recipe


def line_of(text: str, location: tuple[str | int, ...]) -> int:
    """Return the line of a key, of the nearest one above it where it cannot be told; from 1.

    Args:
        text: A TOML document.
        location: Keys and indexes that lead to the key.
    """
    best, depth = 1, 0
    here: tuple[str | int, ...] = ()
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if table := TABLE.match(line):
            here = tuple(
                _plain(part) for part in re.findall(r'"[^"]*"|\'[^\']*\'|[\w-]+', table[1])
            )
            if line.lstrip().startswith("[["):
                counts[table[1]] = counts.get(table[1], -1) + 1
                here = (*here, counts[table[1]])
            path = here
        elif key := KEY.match(line):
            path = (*here, _plain(key["key"]))
        else:
            continue
        if len(path) > depth and location[: len(path)] == path:
            best, depth = number, len(path)
    return best


def _plain(key: str) -> str:
    return key[1:-1] if key[:1] in {'"', "'"} else key


def _report(path: Path, text: str, problem: ValidationError) -> ConfigError:
    errors = []
    for detail in problem.errors(include_url=False):
        location = tuple(step for step in detail["loc"] if step != "[key]")
        where = ".".join(map(str, location))
        errors.append(_error(path, line_of(text, location), f"{where}: {_message(detail)}"))
    if len(errors) == 1:
        return errors[0]
    listing = "\n  ".join(one.message for one in errors)
    return ConfigError(
        f"{path.name} has {len(errors)} problems\n  {listing}", hint=HINT, parts=errors
    )


def _message(detail: Mapping[str, Any]) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        known = [info.alias or name for name, info in Recipe.model_fields.items()]
        close = closest(str(detail["loc"][-1]), known)
        return "unknown key" + (f"; did you mean {close}?" if close else "")
    if kind == "missing":
        return "this key is missing"
    text = str(detail["msg"]).removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _error(path: Path, line: int, message: str) -> ConfigError:
    return ConfigError(f"{path.name}:{line}: {message}", hint=HINT, file=str(path), line=line)

"""The sets of requirements, and what became of each, as data."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

Kind = Literal["native", "pure Python", "with boto3"]
"""``with boto3``: the runtime provides it, and the layer leaves it out. Otherwise, whether there is
native code in the layer."""

DATA = Path(__file__).with_name("sets.toml")


class FieldSet(BaseModel):
    """What somebody puts into a layer; sets.toml says what the keys mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    requirements: list[str]
    layer: dict[str, Any] = {}
    work: str
    refused: str | None = None
    sample: bool = False


class Start(BaseModel):
    """What became of the work in the runtime."""

    works: bool
    said: str | None = None
    """The error, if it does not work."""


class Smoke(BaseModel):
    """What `smoke` says of the layer without any key in layers.yaml."""

    green: bool
    by: str
    """The runner: ``docker``, or ``twin`` for the host twin."""
    optional: int
    """Modules that failed and that the layer does not need."""
    said: str | None = None
    """The first problem, where it is not green."""


class Plain(BaseModel):
    """A plain installation: `uv pip install --target` and `zip -9`; sizes are bytes."""

    zipped: int | None = None
    unzipped: int | None = None
    said: str | None = None
    """Why it cannot be installed."""


class Choice(BaseModel):
    """What one choice of bytecode makes of a layer."""

    zipped: int
    works: bool | None = None
    """Whether the work ends without an exception on the layer's twin; None where it has none."""
    ms: float | None = None
    """From the start of the runtime to the end of the work, median."""
    said: str | None = None
    """The error, if it does not work."""


class Choices(BaseModel):
    """What every choice of bytecode makes of a layer, by name."""

    kind: Kind
    plain: int
    """Bytes that an installer's bytecode adds to the zip of the plain installation."""
    choices: dict[str, Choice]


class Outcome(BaseModel):
    """What became of a set for one runtime; sizes are bytes."""

    name: str
    requirements: list[str]
    locked: bool
    built: bool
    zipped: int | None = None
    unzipped: int | None = None
    why: str | None = None
    """Why it was not locked or not built: the first line of the error."""
    start: Start | None = None
    """Of the layer; None where there is none."""
    smoke: Smoke | None = None
    """Of the layer; None where there is none."""
    plain: Plain
    plain_start: Start | None = None
    """Of the plain installation, tried where the layer was refused or does not work."""
    refused: str | None = None
    """From sets.toml."""
    bytecode: Choices | None = None
    """What the choices of bytecode make of the layer."""

    @property
    def right(self) -> bool:
        """Whether this is as it should be.

        A layer works, or nothing would: the set is known not to work on Lambda, or its plain
        installation does not work either.
        """
        if self.start is not None and self.start.works:
            return self.refused is None
        return self.refused is not None or not (self.plain_start and self.plain_start.works)


def read() -> list[FieldSet]:
    """Return all sets."""
    with DATA.open("rb") as stream:
        return TypeAdapter(list[FieldSet]).validate_python(tomllib.load(stream)["set"])

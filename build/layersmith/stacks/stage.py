"""A stage: which stacks it has, where, and with which parameters.

``infra-templates/stages/<stage>.yaml`` says so; options of the command line go over it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from vector_common.errors import BadRequest
from vector_common.names import check_database, index_prefix
from vector_common.stores.state import StoreName

from layersmith.base import damage
from layersmith.errors import ConfigError
from layersmith.ship.aws.regions import partition_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from layersmith.stacks.templates import Template

NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
"""What the templates accept as Stage; with the project it starts every name on AWS."""

GIVEN = frozenset({"Project", "Stage"})
"""Parameters of every template that the stage itself answers."""

OWNERS = {
    "Storage": "chroma",
    "TokenStore": "chroma",
    "Egress": "network",
    "ExistingVpcId": "network",
}
"""Parameters that other templates take, too, and the stack that says them. What these templates
imported instead could not change any more: CloudFormation refuses to modify an export while another
stack imports it (CloudFormation user guide, using-cfn-stack-exports)."""


class Stage(BaseModel):
    """The content of a stage's file.

    Attributes:
        project: Starts the name of everything on AWS.
        region: Such as ``eu-west-1``.
        stacks: Parameters by stack; a stack that is not named here is not deployed.
        databases: The store in which functions ask a database; a session where nothing is said.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str = Field(default="layersmith", pattern=r"^[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?$")
    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    stacks: dict[str, dict[str, str] | None] = Field(min_length=1)
    databases: dict[str, StoreName] = {}
    name: str = Field(default="", exclude=True)

    def stack_name(self, stack: str) -> str:
        """Return the name of a stack on AWS, such as ``layersmith-dev-chroma``."""
        return f"{self.project}-{self.name}-{stack}"

    def parameters(self, stack: str) -> dict[str, str]:
        """Return the stage's parameters of a stack, without what deploy fills in."""
        return dict(self.stacks.get(stack) or {})

    def shared_parameters(self, account: str) -> dict[str, str]:
        """Return the parameters that several templates take, such as where databases lie.

        Args:
            account: The number of the account.
        """
        stores = {name: one for name, one in sorted(self.databases.items()) if one != "session"}
        bucket = f"{self.project}-{self.name}-vectors-{account}"
        arn = f"arn:{partition_of(self.region)}:s3vectors:{self.region}:{account}:bucket/{bucket}"
        indexes = [
            f"{arn}/index/{index_prefix(name)}*"
            for name, one in stores.items()
            if one == "s3vectors"
        ]
        owned = {name: self.parameters(owner).get(name) for name, owner in OWNERS.items()}
        return {
            "VectorStores": ",".join(f"{name}={one}" for name, one in stores.items()),
            "VectorIndexes": ",".join(indexes),
            **{name: value for name, value in owned.items() if value is not None},
        }


def load(folder: Path, name: str, settings: Iterable[str] = ()) -> Stage:
    """Read a stage.

    Args:
        folder: The folder of the stage files.
        name: The stage, such as ``dev``.
        settings: ``stack.Parameter=value``, each over what the file says.

    Raises:
        ConfigError: There is no such stage, its file is wrong, or a setting is.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot name a stage",
            hint="a lower case letter, then letters and digits, 12 characters at most",
        )
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
        raise ConfigError(f"there is no stage {name!r} (known: {known})", hint=f"write {path}")
    try:
        with damage.told(path.name, ConfigError, kind="stage"):
            content = {**(yaml.safe_load(path.read_text("utf-8")) or {}), "name": name}
        stage = Stage.model_validate(content)
        for database in stage.databases:
            check_database(database)
    except BadRequest as error:
        raise ConfigError(f"{path} is wrong: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"{path} is wrong: {_problems(error)}") from error
    return with_settings(stage, settings)


def with_settings(stage: Stage, settings: Iterable[str]) -> Stage:
    """Return the stage with ``stack.Parameter=value`` settings applied.

    Raises:
        ConfigError: A setting is not of that form, or names a stack the stage does not have.
    """
    stacks = {name: dict(values or {}) for name, values in stage.stacks.items()}
    for setting in settings:
        matched = re.fullmatch(r"([a-z-]+)\.([A-Za-z0-9]+)=(.*)", setting, re.DOTALL)
        if matched is None:
            raise ConfigError(f"{setting!r} is not of the form stack.Parameter=value")
        stack, parameter, value = matched.groups()
        if stack not in stacks:
            raise ConfigError(f"{setting!r}: the stage {stage.name} has no stack {stack!r}")
        stacks[stack][parameter] = value
    return stage.model_copy(update={"stacks": stacks})


def select(stage: Stage, templates: Mapping[str, Template]) -> list[Template]:
    """Return the templates of the stage's stacks.

    Raises:
        ConfigError: The stage names a stack without a template, or a parameter that its template
            does not have, or its databases lie in two places; all problems in one message.
    """
    problems = []
    for stack in stage.stacks:
        if stack not in templates:
            problems.append(f"no template makes the stack {stack!r}")
            continue
        declared = templates[stack].parameters
        problems += [
            f"{stack} has no parameter {name!r} (it has {', '.join(sorted(declared))})"
            for name in stage.parameters(stack)
            if name not in declared or name in GIVEN
        ]
    problems += [*_said_twice(stage, templates), *_storage_problems(stage)]
    if problems:
        raise ConfigError(f"the stage {stage.name} does not fit: {'; '.join(problems)}")
    return [templates[stack] for stack in stage.stacks]


def _said_twice(stage: Stage, templates: Mapping[str, Template]) -> Iterator[str]:
    for name, owner in OWNERS.items():
        if owner not in templates:
            continue
        default = templates[owner].parameters[name]["Default"]
        said = stage.parameters(owner).get(name, default)
        for stack in stage.stacks:
            other = stage.parameters(stack).get(name, said)
            if other != said:
                yield f"{stack}.{name} is {other} and {owner}.{name} {said} (leave out the first)"


def _storage_problems(stage: Stage) -> Iterator[str]:
    storage = stage.parameters("chroma").get("Storage", "s3")
    outside = [name for name, one in stage.databases.items() if one != "session"]
    if storage == "efs" and outside:
        yield (
            f"databases: {outside[0]} is asked without a session, by functions that read S3, "
            "and chroma.Storage is efs"
        )


def _problems(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}" for one in error.errors()
    )

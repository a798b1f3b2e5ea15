"""The templates of infra-templates/, and the order that their exports and imports dictate.

A stack depends on every stack whose export it imports. Nothing else says so: there is no list of
stacks to keep in step with the files.
"""

from __future__ import annotations

import functools
import hashlib
import json
import tomllib
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from layersmith.base import damage
from layersmith.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from layersmith.stacks.stage import Stage

BODY_LIMIT = 51_200
"""Bytes of a template sent in the request; a larger one goes through S3 (CloudFormation quotas)."""

SIZE_LIMIT = 1_000_000
"""Bytes of a template on S3 (CloudFormation quotas)."""

LACKING = Path(__file__).with_name("lacking.toml")
"""Types of resources and the regions in which CloudFormation does not know them."""

# With libyaml where the wheel of pyyaml has it, which is ten times as fast.
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc]
    """Reads CloudFormation's short tags, such as ``!Sub``, into their long form."""


def _short_tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {name: value}


_Loader.add_multi_constructor("!", _short_tag)


@dataclass(frozen=True)
class Template:
    """One CloudFormation template.

    Attributes:
        name: The stack it makes: ``chroma`` for ``chroma.yaml``.
        body: The file's text, as CloudFormation gets it.
        document: The same, parsed, with intrinsic functions in their long form.
    """

    name: str
    body: str
    document: Mapping[str, Any] = field(repr=False)

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """The declared parameters by name."""
        return dict(self.document.get("Parameters", {}))

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """The declared resources by logical id."""
        return dict(self.document["Resources"])

    @property
    def foundation(self) -> bool:
        """Whether an administrator alone makes and changes the stack: it gives rights to others."""
        said = self.document.get("Metadata", {}).get("layersmith", {})
        return bool(said.get("foundation"))

    @property
    def exports(self) -> frozenset[str]:
        """Names of exports as they are written: with ``${Project}`` and ``${Stage}``."""
        outputs = self.document.get("Outputs", {}).values()
        return frozenset(
            _text(output["Export"]["Name"]) for output in outputs if "Export" in output
        )

    @property
    def imports(self) -> frozenset[str]:
        """Names of imported values as they are written."""
        return frozenset(_text(value) for value in _values_of(self.document, "Fn::ImportValue"))

    @property
    def retained(self) -> dict[str, str]:
        """Type by logical id of every resource that outlives its stack."""
        return {
            name: resource["Type"]
            for name, resource in self.resources.items()
            if resource.get("DeletionPolicy") == "Retain"
        }

    @property
    def digest(self) -> str:
        """16 hex digits of the body's SHA-256."""
        return hashlib.sha256(self.body.encode()).hexdigest()[:16]


def load(folder: Path) -> dict[str, Template]:
    """Read every template of a folder, by name.

    Raises:
        ConfigError: There is none, or one is not YAML, holds no resources or is too large.
    """
    found = {path.stem: parse(path.stem, _read(path)) for path in _files(folder)}
    if not found:
        raise ConfigError(f"{folder} holds no templates", hint="run it from the repository's root")
    return found


def parse(name: str, body: str) -> Template:
    """Parse one template.

    Raises:
        ConfigError: It is not YAML, holds no resources, or is too large for CloudFormation.
    """
    document = document_of(f"{name}.yaml", body)
    if not isinstance(document, dict) or not document.get("Resources"):
        raise ConfigError(f"{name}.yaml declares no resources")
    if len(body.encode()) > SIZE_LIMIT:
        raise ConfigError(
            f"{name}.yaml is larger than CloudFormation takes ({SIZE_LIMIT} bytes)",
            hint="split it into two stacks",
        )
    return Template(name, body, document)


def document_of(file: str, body: str) -> Any:
    """Return what a YAML file says, with CloudFormation's short tags in their long form.

    Args:
        file: Its name, for messages.
        body: Its text.

    Raises:
        ConfigError: It is not YAML.
    """
    try:
        with damage.told(file, ConfigError, kind="template"):
            # A SafeLoader with tags of its own; it constructs plain data only.
            return yaml.load(body, Loader=_Loader)  # noqa: S506
    except yaml.YAMLError as error:
        mark, what = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise ConfigError(f"{where}: {file} is not YAML: {what or error}") from error


def in_region(template: Template, region: str) -> tuple[Template, dict[str, str]]:
    """Return a template without the types that a region lacks, and those types by logical id.

    Args:
        template: The template; it is returned unchanged if the region has all of its types.
        region: Such as ``eu-north-1``.
    """
    unknown = {kind for kind, regions in _lacking().items() if region in regions}
    left_out = {
        name: resource["Type"]
        for name, resource in template.resources.items()
        if resource["Type"] in unknown
    }
    if not left_out:
        return template, left_out
    kept = {name: one for name, one in template.resources.items() if name not in left_out}
    document = {**template.document, "Resources": kept}
    return replace(template, body=json.dumps(document, indent=1), document=document), left_out


@functools.cache
def _lacking() -> dict[str, list[str]]:
    return tomllib.loads(LACKING.read_text("utf-8"))


def layers(stage: Stage, templates: Iterable[Template]) -> list[tuple[str, ...]]:
    """Return layer, runtime, architecture and version of the layers that templates use, by pointer.

    Args:
        stage: Whose parameters count before the templates' own defaults.
        templates: The templates.
    """
    named = {
        stage.parameters(template.name).get(name, declared.get("Default", ""))
        for template in templates
        for name, declared in template.parameters.items()
        if str(declared.get("Type", "")).startswith("AWS::SSM::Parameter::Value")
    }
    found = [one.split("/")[2:] for one in sorted(named) if one.startswith("/layers/")]
    return [tuple(one) for one in found if len(one) == len(("layer", "runtime", "arch", "name"))]


def order(templates: Iterable[Template]) -> list[Template]:
    """Return the templates so that each comes after those whose exports it imports.

    Ties are broken by name, so that the order is the same on every machine.

    Raises:
        ConfigError: An import that nobody exports, or a circle.
    """
    by_name = {template.name: template for template in templates}
    needs = dependencies(by_name.values())
    sorter = TopologicalSorter(needs)
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise ConfigError(f"the stacks import each other in a circle: {circle}") from error
    ordered: list[Template] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered += [by_name[name] for name in ready]
        sorter.done(*ready)
    return ordered


def dependencies(templates: Iterable[Template]) -> dict[str, set[str]]:
    """Return for each stack the names of the stacks it imports from.

    Raises:
        ConfigError: An import that none of the templates exports.
    """
    listed = list(templates)
    exporter = {export: template.name for template in listed for export in template.exports}
    needs: dict[str, set[str]] = {}
    for template in listed:
        unknown = sorted(template.imports - exporter.keys())
        if unknown:
            raise ConfigError(
                f"{template.name}.yaml imports {unknown[0]}, which no stack of the stage exports",
                cause="the stack that exports it is left out of the stage, or the name differs",
                hint="add the stack to the stage's file, or correct the name",
            )
        needs[template.name] = {exporter[name] for name in template.imports}
    return needs


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.yaml"))


def _read(path: Path) -> str:
    with damage.told(path.name, ConfigError, kind="template", hint="save it as UTF-8"):
        return path.read_text("utf-8")


def _text(value: Any) -> str:
    """The name as it is written, whether it is plain or in ``Fn::Sub``."""
    return str(value["Fn::Sub"] if isinstance(value, dict) else value)


def _values_of(node: Any, function: str) -> Iterator[Any]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == function:
                yield value
            yield from _values_of(value, function)
    elif isinstance(node, list):
        for value in node:
            yield from _values_of(value, function)

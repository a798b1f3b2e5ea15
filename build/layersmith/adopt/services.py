"""Finds the functions of SAM, CloudFormation and the Serverless Framework in their templates."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from layersmith.adopt.models import FoundFunction, Notice, kebab
from layersmith.base import architectures, damage, runtimes
from layersmith.config import checks
from layersmith.config.values import HANDLER_PATTERN
from layersmith.errors import ConfigError
from layersmith.stacks import templates

if TYPE_CHECKING:
    from collections.abc import Callable

FUNCTIONS = ("AWS::Serverless::Function", "AWS::Lambda::Function")
LAYERS = ("AWS::Serverless::LayerVersion", "AWS::Lambda::LayerVersion")

UNSAID = "x86_64"
"""The architecture of a function whose template sets none (AWS SAM and CloudFormation reference,
Architectures)."""

_SUB = re.compile(r"\$\{([^!}][^}]*)\}")
_VARIABLE = re.compile(r"\$\{self:([\w.-]+)\}|\$\{[^{}]*,\s*['\"]?([^'\"{}]*)['\"]?\}")


@dataclass
class Service:
    """What one template says.

    Attributes:
        file: The template, relative to the repository.
        root: Folder of the repository.
        functions: Its Python functions.
        layers: Folders of the layers that it makes, by logical id.
        unsaid: Functions whose architecture it does not set.
        notices: What was left out.
    """

    file: str
    root: Path
    functions: list[FoundFunction] = field(default_factory=list)
    layers: dict[str, str] = field(default_factory=dict)
    unsaid: list[str] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a notice on the template."""
        self.notices.append(Notice(self.file, text))

    def folder(self, given: Any) -> str | None:
        """Return a folder that the template names; None where it is that of the repository."""
        if not isinstance(given, str) or "://" in given:
            return None
        path = (self.root / self.file).parent / given
        if not path.is_dir() or not path.resolve().is_relative_to(self.root.resolve()):
            return None
        inner = path.resolve().relative_to(self.root.resolve()).as_posix()
        return None if inner == "." else inner


def read(path: Path, root: Path) -> Service:
    """Read a template; one that cannot be read has a notice and no functions.

    Args:
        path: The template.
        root: Folder of the repository.
    """
    service = Service(path.relative_to(root).as_posix(), root)
    try:
        with damage.told(service.file, ConfigError, kind="template"):
            text = path.read_text("utf-8-sig")
            if path.suffix == ".json":  # Tabs may indent it, which YAML does not take.
                document = json.loads(text)
            else:
                document = templates.document_of(service.file, text)
            _reader(path.name)(service, _map(document))
    except (ConfigError, OSError) as problem:
        service.note(f"left out: {' '.join(str(problem).split())}")
        return service
    if service.unsaid:
        names = ", ".join(service.unsaid)
        service.note(
            f"no architecture is set for {names}, so AWS takes {UNSAID}, and so do their layers;"
            " for arm64, set it there and in layers.yaml"
        )
    return service


def is_service(name: str) -> bool:
    """Whether a file, by its name, is a template of SAM, CloudFormation or Serverless."""
    return any(re.fullmatch(pattern, name) for pattern, _ in _READERS)


def _cloudformation(service: Service, document: dict[str, Any]) -> None:
    values = {
        name: _map(parameter).get("Default")
        for name, parameter in _map(document.get("Parameters")).items()
    }
    shared = _map(_map(document.get("Globals")).get("Function"))
    resources = {name: _map(one) for name, one in _map(document.get("Resources")).items()}
    for name, one in resources.items():
        if one.get("Type") in LAYERS:
            said = _resolved(_map(one.get("Properties")), values)
            folder = service.folder(said.get("ContentUri", said.get("Content")))
            if folder:
                service.layers[name] = folder
    for name, one in resources.items():
        if str(name).startswith("Fn::ForEach"):
            service.note(f"resources of {name} are not followed; add its functions by hand")
        if one.get("Type") in FUNCTIONS:
            own = _map(one.get("Properties"))
            # Globals hold for resources of AWS SAM only.
            common = shared if one["Type"] == FUNCTIONS[0] else {}
            layers = [*_list(common.get("Layers")), *_list(own.get("Layers"))]
            given = {**common, **own}
            said = _resolved(given, values)
            _function(
                service,
                name,
                title=said.get("FunctionName") or name,
                image=said.get("PackageType") == "Image" or "ImageUri" in said,
                runtime=said.get("Runtime"),
                architecture=next(iter(_list(said.get("Architectures"))), None)
                or given.get("Architectures"),
                handler=said.get("Handler"),
                code=service.folder(said.get("CodeUri", said.get("Code"))),
                memory=said.get("MemorySize"),
                timeout=said.get("Timeout"),
                layers=layers,
            )


def _serverless(service: Service, document: dict[str, Any]) -> None:
    provider = _map(document.get("provider"))
    if provider.get("name", "aws") != "aws":
        service.note(f"the provider is {provider['name']}, not aws: its functions are left out")
        return
    given = document.get("functions")
    functions: dict[str, Any] = {}
    for part in given if isinstance(given, list) else [given]:
        if isinstance(part, str):
            service.note(f"functions in {part} are not followed; add them by hand")
        functions.update(_map(part))
    for name, one in functions.items():
        said = {key: _variable(value, document) for key, value in {**provider, **_map(one)}.items()}
        handler = said.get("handler")
        # serverless-python-requirements packages this folder, and handlers are relative to it.
        module = said.get("module")
        base = PurePosixPath(str(module) if service.folder(module) else "")
        code, entry = _split(service, handler, base) if isinstance(handler, str) else (None, None)
        _function(
            service,
            str(name),
            title=str(name),
            image="image" in _map(one),
            runtime=said.get("runtime"),
            architecture=said.get("architecture"),
            handler=entry,
            code=code,
            memory=said.get("memorySize"),
            timeout=said.get("timeout"),
            layers=_list(_map(one).get("layers")),
        )


_READERS: tuple[tuple[str, Callable[[Service, dict[str, Any]], None]], ...] = (
    (r"serverless\.(ya?ml|json)", _serverless),
    (r"(?!packaged)[\w.-]*template\.(ya?ml|json)", _cloudformation),
    (r"cloudformation[\w.-]*\.(ya?ml|json)", _cloudformation),
)
"""Names of files (regular expressions) and what reads them. What `sam package` wrote, usually
packaged-template.yaml, names no folders and is left out."""


def _reader(name: str) -> Callable[[Service, dict[str, Any]], None]:
    return next(reader for pattern, reader in _READERS if re.fullmatch(pattern, name))


def _function(
    service: Service,
    resource: str,
    *,
    title: Any,
    image: bool,
    runtime: Any,
    architecture: Any,
    handler: Any,
    code: str | None,
    memory: Any,
    timeout: Any,
    layers: list[Any],
) -> None:
    """Add a function, or say why it is left out."""
    if image:
        service.note(f"{resource} is a container image, which takes no layers: left out")
        return
    if isinstance(runtime, str) and not runtime.startswith("python"):
        service.note(f"{resource} runs on {runtime}, which is not Python: left out")
        return
    uses, others = [], 0
    for layer in layers:
        logical = str(_map(layer).get("Ref"))
        if logical in service.layers:
            uses.append(service.layers[logical])
        else:
            others += 1
    if others:
        one = others == 1
        what = (
            "a layer from elsewhere, which is"
            if one
            else f"{others} layers from elsewhere, which are"
        )
        service.note(f"{resource} uses {what} not changed")
    service.functions.append(
        FoundFunction(
            name=kebab(str(title)),
            file=service.file,
            resource=resource,
            code=code,
            handler=_handler(service, resource, code, handler),
            runtime=_runtime(service, resource, runtime),
            architecture=_architecture(service, resource, architecture),
            memory=_number(memory, 128, 10_240),
            timeout=_number(timeout, 1, 900),
            uses=tuple(uses),
        )
    )


def _handler(service: Service, resource: str, code: str | None, given: Any) -> str | None:
    """Return a handler that layers.yaml can name."""
    if not isinstance(given, str) or not re.match(HANDLER_PATTERN, given):
        return None
    problem = checks.handler_problem(service.root / code, given) if code else None
    if problem:
        service.note(f"{resource}: {problem}; its handler is not written")
        return None
    return given


def _runtime(service: Service, resource: str, given: Any) -> str:
    if not isinstance(given, str):
        what = "has no Runtime that can be read here"
        service.note(f"{resource} {what}; {runtimes.DEFAULT} is taken: correct it in layers.yaml")
        return runtimes.DEFAULT
    try:
        return runtimes.get(given).name
    except ConfigError as problem:
        service.note(
            f"{resource}: {problem.message}; {runtimes.DEFAULT} is taken, so move the function to"
            " it, or change `runtimes`"
        )
        return runtimes.DEFAULT


def _architecture(service: Service, resource: str, given: Any) -> str:
    if given in architectures.NAMES:
        return str(given)
    if given is None:
        service.unsaid.append(resource)
        return UNSAID
    service.note(f"{resource} has no Architectures that can be read here; {UNSAID} is taken")
    return UNSAID


def _number(value: Any, least: int, most: int) -> int | None:
    text = str(value)
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    return number if least <= number <= most else None


def _split(service: Service, handler: str, base: PurePosixPath) -> tuple[str | None, str]:
    """Return the folder and the entry point of ``src/orders/app.handler`` or ``src.orders...``."""
    module, _, name = handler.rpartition(".")
    path = PurePosixPath(module if "/" in module else module.replace(".", "/"))
    return service.folder((base / path.parent).as_posix()), f"{path.name}.{name}"


def _resolved(properties: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return properties with the defaults of parameters; what else is computed is left out."""
    found = {}
    for key, value in properties.items():
        one = [_value(item, values) for item in value] if isinstance(value, list) else value
        one = _value(one, values)
        if one is not None:
            found[key] = one
    return found


def _value(value: Any, values: dict[str, Any]) -> Any:
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        return values.get(str(value["Ref"]))
    text = value.get("Fn::Sub")
    if isinstance(text, str):
        names = set(_SUB.findall(text))
        if all(values.get(name) is not None for name in names):
            return _SUB.sub(lambda found: str(values[found[1]]), text)
    return None


def _variable(value: Any, document: dict[str, Any]) -> Any:
    """Resolve ``${self:a.b}`` and ``${opt:x, 'default'}``; what else is computed is None."""
    if not isinstance(value, str) or "${" not in value:
        return value
    found = _VARIABLE.fullmatch(value)
    if found is None:
        return None
    if found[1] is None:
        return found[2] or None
    here: Any = document
    for step in found[1].split("."):
        here = _map(here).get(step)
    return None if isinstance(here, str) and "${" in here else here


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

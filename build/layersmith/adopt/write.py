"""Writes what init adds to a repository: layers.yaml, a smoke file per layer, and a workflow."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import yaml

from layersmith import __version__, cache
from layersmith.adopt.models import FoundLayer, NewFile
from layersmith.base import runtimes
from layersmith.config import loader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from layersmith.adopt.models import FoundFunction, FoundRepository

HERE = Path(__file__).parent
WORKFLOW = ".github/workflows/layers.yml"

EXAMPLE = FoundLayer(
    name="example",
    file="",
    requirements=("requests",),
    asked=("requests",),
    runtimes=(runtimes.DEFAULT,),
    architectures=("arm64",),
)
"""The layer of a repository in which nothing was found."""

HEAD = """\
# The Lambda layers of this repository. `layersmith init` began it, and it is yours to edit;
# docs/layers-yaml.md of layersmith describes every key.
"""


def files(findings: FoundRepository, root: Path) -> list[NewFile]:
    """Return the files that are to be written, those that exist among them.

    Args:
        findings: What was found.
        root: Folder of the repository.
    """
    layers = findings.layers or [EXAMPLE]
    texts = {loader.FILE_NAME: _layers_yaml(layers, findings.functions)}
    if not _exists(root / loader.FILE_NAME):
        texts |= {_smoke_path(layer): _smoke(layer) for layer in layers}
    texts[WORKFLOW] = _template("workflow.yml").replace("v1", f"v{__version__}")
    return [
        NewFile(path, text, "exists" if _exists(root / path) else "new")
        for path, text in texts.items()
    ]


def write(planned: Iterable[NewFile], root: Path) -> list[NewFile]:
    """Write what does not exist yet, and return every file with its new state."""
    done = []
    for file in planned:
        state = file.state
        if state == "new" and _exists(root / file.path):
            state = "exists"
        if state == "new":
            (root / file.path).parent.mkdir(parents=True, exist_ok=True)
            cache.write_text(root / file.path, file.content)
            state = "written"
        done.append(replace(file, state=state))
    return done


def _exists(path: Path) -> bool:
    """Whether something is there; a link that leads nowhere counts."""
    return path.exists() or path.is_symlink()


def _layers_yaml(layers: Sequence[FoundLayer], functions: Sequence[FoundFunction]) -> str:
    usual: dict[str, Any] = {
        "runtimes": _usual([list(layer.runtimes) for layer in layers]),
        "architectures": _usual([list(layer.architectures) for layer in layers]),
        "constraints": _usual([layer.constraints for layer in layers]),
    }
    lines = [HEAD.rstrip(), "defaults:"]
    lines += [f"  {line}" for line in _defaults(usual)]
    lines += ["", "layers:"]
    for layer in layers:
        lines += [f"  {line}".rstrip() for line in _layer(layer, usual)]
        lines.append("")
    if functions:
        lines += _functions(layers, functions)
    return "\n".join(lines).rstrip() + "\n"


def _usual(values: list[Any]) -> Any:
    """Return the value that most layers have."""
    counted = Counter(json.dumps(value) for value in values)
    return json.loads(counted.most_common(1)[0][0])


def _defaults(usual: dict[str, Any]) -> Iterator[str]:
    yield f"runtimes: {_flow(usual['runtimes'])}"
    yield f"architectures: {_flow(usual['architectures'])}"
    if usual["constraints"]:
        yield "# The versions of this lock are taken where they fit the runtime."
        yield f"constraints: {_flow(usual['constraints'])}"
    yield "# What recipes leave out of known packages; docs/recipes.md names what each one loses."
    yield "# recipes: all"


def _layer(layer: FoundLayer, usual: dict[str, Any]) -> Iterator[str]:
    if layer.functions:
        yield f"# Used by {', '.join(layer.functions)}."
    elif not layer.file:
        yield "# An example. Replace requests by what your functions import."
    yield f"{layer.name}:"
    for key, value in _settings(layer, usual).items():
        if key == "keep-provided":
            yield "  # The runtime brings other versions than those that are asked for."
        if key == "requirements" and isinstance(value, list):
            yield "  requirements:"
            yield from (f"    - {_flow(line)}" for line in value)
        else:
            yield f"  {key}: {_flow(value)}"
    yield "  # Over budget is an error; `layersmith build` prints the sizes of today."
    yield "  # budgets: {zipped: 30MB, unzipped: 90MB, growth: 10%}"


def _settings(layer: FoundLayer, usual: dict[str, Any]) -> dict[str, Any]:
    """Return what layers.yaml says of a layer, without what `defaults` says."""
    described = f"Dependencies from {layer.file}" if layer.file else "An example"
    if layer.packages and layer.requirements == ():
        described = f"The local package {', '.join(layer.package_names)}"
    file = {"file": layer.file}
    said = {
        "description": described[:200],
        "version": "0.1.0",
        "requirements": file if layer.requirements is None else list(layer.requirements),
        "packages": list(layer.packages),
        "keep-provided": list(layer.keep_provided),
    }
    said = {key: value for key, value in said.items() if value}
    for key in ("runtimes", "architectures", "constraints"):
        mine = getattr(layer, key)
        mine = list(mine) if isinstance(mine, tuple) else mine
        if mine != usual[key]:
            said[key] = mine or []
    return {**said, "smoke": _smoke_path(layer)}


def _functions(layers: Sequence[FoundLayer], functions: Sequence[FoundFunction]) -> Iterator[str]:
    """Yield the functions: their layers and code are judged together against 250 MB."""
    yield "# Each function's layers and code are judged together against Lambda's 250 MB."
    yield "# `package: true` also builds the zip of its code; `event: FILE` proves them together."
    yield "functions:"
    for function in functions:
        said: dict[str, Any] = {
            "layers": [layer.name for layer in layers if function.name in layer.functions],
            "code": function.code,
            "handler": function.handler if function.code else None,
            "memory": function.memory,
            "timeout": function.timeout,
        }
        yield f"  # {function.resource} in {function.file}"
        yield f"  {function.name}: {_flow({key: value for key, value in said.items() if value})}"


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    text = yaml.safe_dump(
        value, default_flow_style=True, width=10**6, sort_keys=False, allow_unicode=True
    )
    return text.removesuffix("...\n").strip()


def _smoke_path(layer: FoundLayer) -> str:
    return f"tests/smoke/{layer.name.replace('-', '_')}.py"


def _smoke(layer: FoundLayer) -> str:
    left = runtimes.get(layer.runtimes[0]).provided - set(layer.keep_provided)
    names = sorted({*layer.asked, *layer.package_names} - left)
    return Template(_template("smoke.py.txt")).substitute(
        layer=layer.name, distributions=_python(names)
    )


def _python(names: list[str]) -> str:
    """Return a list as ruff formats it."""
    line = json.dumps(names)
    return line if len(line) < 80 else "[\n" + "".join(f'    "{one}",\n' for one in names) + "]"


def _template(name: str) -> str:
    return (HERE / name).read_text("utf-8")

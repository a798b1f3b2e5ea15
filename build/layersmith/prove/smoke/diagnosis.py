"""Says why a module did not import: what Python reports names the symptom, seldom the cause.

``cannot import name '_imaging' from 'PIL'`` is what a wheel for another architecture, a wheel
for another Python and a deleted file all look like. What tells them apart is in the layer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from layersmith.prove.layer_zip import named_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layersmith.prove.layer_zip import LayerZip
    from layersmith.prove.reports import ImportFailure
    from layersmith.prove.smoke.closure import Closure

_CANNOT_IMPORT = re.compile(
    r"cannot import name '(?P<name>\w+)' from (?:partially initialized "
    r"module )?'(?P<package>[\w.]+)'"
)
_NO_MODULE = re.compile(r"No module named '(?P<module>[\w.]+)'")
_CANNOT_OPEN = re.compile(r"(?P<file>[^\s:]+\.so[.\w]*): cannot open shared object file")
_SYMBOL_VERSION = re.compile(r"version `(?P<version>[A-Z]+_[\d.]+)' not found")
_NOT_READABLE = re.compile(r"Permission denied: '/opt/(?P<path>[^']+)'")
_BAD_HEADER = re.compile(r"(?P<file>[^\s:]+\.so[.\w]*): (?:invalid ELF header|wrong ELF class)")


def diagnose(failure: ImportFailure, layer: LayerZip, python: str, architecture: str) -> str | None:
    """Return the cause of a failed import in one sentence, or None where it is not known.

    Args:
        failure: What the runtime said.
        layer: The layer that was in place.
        python: Version of the target's Python, ``3.13``.
        architecture: The target's, ``arm64`` or ``x86_64``.
    """
    for cause in failure.chain:
        for found in _explanations(cause.message, layer, python, architecture):
            return found
    return None


def cure(failure: ImportFailure, closure: Closure) -> str | None:
    """Return what to change in layers.yaml, or None where the cause does not say it.

    Args:
        failure: What the runtime said.
        closure: What the target's lock comes to.
    """
    for cause in failure.chain:
        if cause.type != "ModuleNotFoundError" or cause.name is None:
            continue
        if rule := closure.pruned_by(cause.name):
            return f"the prune rule {rule!r} leaves it out: keep it, or prune what imports it, too"
        if out := closure.left_out_with(cause.name, cause.where):
            return (
                f"{out} brings it, which the layer leaves out or replaces by a stub: keep {out}, or"
                " prune what imports it"
            )
        if cause.within is None:
            top = cause.name.partition(".")[0]
            return f"add the distribution that brings {top} to the layer's requirements"
    return None


def _explanations(text: str, layer: LayerZip, python: str, architecture: str) -> Iterator[str]:
    if match := _CANNOT_IMPORT.search(text):
        module = f"{match['package']}.{match['name']}"
        yield from _extension(module, layer, python, architecture)
    if match := _NO_MODULE.search(text):
        yield from _missing_module(match["module"], layer, python, architecture)
    if match := _CANNOT_OPEN.search(text):
        yield from _unopened(match["file"], layer, architecture)
    if match := _NOT_READABLE.search(text):
        yield (
            f"{match['path']} is readable only by its owner (mode in the zip); Lambda runs the"
            " function as another user"
        )
    if match := _BAD_HEADER.search(text):
        yield f"{_name(match['file'])} is damaged, or not an ELF file of {architecture}"
    if match := _SYMBOL_VERSION.search(text):
        yield (
            f"a library of the layer needs {match['version']}, which is newer than the runtime's:"
            " the wheel was built for a newer system"
        )


def _extension(module: str, layer: LayerZip, python: str, architecture: str) -> Iterator[str]:
    """Explain an extension module that Python could not find in its package."""
    folder = "python/" + "/".join(module.split(".")[:-1]) + "/"
    stem = module.rpartition(".")[2]
    files = [p for p in layer.paths if p.startswith(f"{folder}{stem}.") and p.endswith(".so")]
    if not files:
        if f"{folder}__init__.py" in layer.paths:
            yield f"missing extension: {folder}{stem}*.so is not in the layer"
        return
    for file in files:
        named = named_for(file)
        if named and named[1] != architecture:
            yield (
                f"wrong architecture: {file} is built for {named[1]}, and the target is"
                f" {architecture}"
            )
        elif named and named[0] != python:
            yield (
                f"wrong Python: {file} is built for Python {named[0]}, and the target has {python}"
            )
        else:
            yield from _wrong_machine(file, layer, architecture)


def _missing_module(module: str, layer: LayerZip, python: str, architecture: str) -> Iterator[str]:
    folder, _, stem = f"python/{module.replace('.', '/')}".rpartition("/")
    if any(path.startswith(f"{folder}/{stem}.") for path in layer.paths):
        yield from _extension(module, layer, python, architecture)
    top = module.partition(".")[0]
    if any(path.startswith((f"python/{top}/", f"python/{top}.")) for path in layer.paths):
        yield f"{module} is not in the layer, although {top} is: a file of it was left out"
    else:
        yield f"nothing in the layer or the runtime brings {top}"


def _unopened(file: str, layer: LayerZip, architecture: str) -> Iterator[str]:
    """Explain a file that could not be opened, which the loader says of wrong machines, too."""
    name = _name(file)
    places = layer.by_name.get(name, [])
    for place in places:
        yield from _wrong_machine(place, layer, architecture)
    if not places:
        owners = sorted({p.split("/")[1] for p in layer.paths if ".libs/" in p})
        beside = f" (folders of bundled libraries in it: {', '.join(owners)})" if owners else ""
        yield (
            f"missing shared library: {name} is neither in the layer nor in the runtime;"
            f" wheels keep such files in a folder like pillow.libs{beside}"
        )


def _wrong_machine(path: str, layer: LayerZip, architecture: str) -> Iterator[str]:
    machine = layer.machine(path)
    if machine is None:
        yield f"{path} is not an ELF file"
    elif machine != architecture:
        yield (
            f"wrong architecture: {path} is a file for {machine}, despite its name, and the"
            f" target is {architecture}"
        )


def _name(file: str) -> str:
    return file.rpartition("/")[2]

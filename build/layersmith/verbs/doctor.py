"""`doctor`: check this machine for what the verbs need, and show how to install the rest.

It imports only the standard library before it looks, so that it also works where nothing is
installed.
"""

from __future__ import annotations

import configparser
import dataclasses
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from layersmith import cache, console, extras, process
from layersmith.base import disk, runtimes, uv
from layersmith.errors import LayersmithError, NotInstalledError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from layersmith.engine.client import Engine

EPILOG = """\
what it looks at:
  Python, the packages and extras, uv, an interpreter for each runtime, the package index, the
  Docker engine, emulation of arm64, the images of the proofs, AWS credentials (whether there are
  any; never what they are), and the cache. Nothing is changed, and nothing is asked of AWS.

states:
  ok       nothing to do
  warn     works, or is only needed by some verbs
  missing  the verbs that it names do not work without it

examples:
  python build/layers.py doctor
  python build/layers.py doctor --json

exit code: 3 where something is missing that `build` needs, otherwise 0.
"""

State = Literal["ok", "warn", "missing"]
OLDEST = (3, 11)
INDEX_TIMEOUT = 30
"""Seconds in which the package index has to answer."""

CREDENTIAL_VARIABLES = (
    *("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
)


@dataclass(frozen=True)
class Diagnosis:
    """One line of the answer.

    Attributes:
        name: What was looked at.
        state: How it is.
        detail: What was found.
        next: What to do, a sentence or a command; None where there is nothing to do.
        needed: Whether `build` needs it.
    """

    name: str
    state: State
    detail: str
    next: str | None = None
    needed: bool = False


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG


def run(args: argparse.Namespace) -> int:
    """Look, and say what was found.

    Raises:
        NotInstalledError: Something is missing that `build` needs.
    """
    found: list[Diagnosis] = []
    for look in LOOKS:
        for line in _survived(look):
            found.append(line)
            if not args.json:
                _show(line)
    if args.json:
        console.emit_json({"checks": [dataclasses.asdict(line) for line in found]})
    lacking = [line for line in found if line.needed and line.state == "missing"]
    if lacking:
        raise NotInstalledError(
            f"`build` needs what is missing: {', '.join(line.name for line in lacking)}",
            hint=lacking[0].next,
        )
    return 0


def _show(line: Diagnosis) -> None:
    console.emit_text(f"{line.state:<7}  {line.name}: {line.detail}")
    if line.next:
        console.emit_text(f"         next: {line.next}")


def _python() -> Iterator[Diagnosis]:
    version = ".".join(map(str, sys.version_info[:3]))
    fine = sys.version_info[:2] >= OLDEST
    advice = None if fine else "install Python 3.11 or newer, e.g. `uv python install 3.13`"
    yield Diagnosis("Python", "ok" if fine else "missing", version, advice, needed=True)


def _packages() -> Iterator[Diagnosis]:
    for extra, modules in extras.MODULES.items():
        lacking = [name for name in modules if not _importable(name)]
        name = f"extra {extra}" if extra else "packages"
        if not lacking:
            yield Diagnosis(name, "ok", "installed", needed=not extra)
            continue
        verbs = ", ".join(verb for verb, needs in extras.OF_VERB.items() if needs == extra)
        detail = f"not installed: {', '.join(lacking)}"
        yield Diagnosis(
            name,
            "warn" if extra else "missing",
            f"{detail} (for {verbs})" if extra else detail,
            extras.install_command(extra),
            needed=not extra,
        )


def _importable(name: str) -> bool:
    folders = [Path("fargate/chroma"), Path("lambdas/common/src")]
    if any((extras.CHECKOUT / folder / name).is_dir() for folder in folders):
        return True  # the verb `vectors` puts it on the path
    return importlib.util.find_spec(name) is not None


def _uv() -> Iterator[Diagnosis]:
    try:
        said = uv.version()
    except process.CommandFailed as failed:
        advice = "python3 -m pip install uv"
        yield Diagnosis("uv", "missing", failed.output or str(failed), advice, needed=True)
    else:
        yield Diagnosis("uv", "ok", said, needed=True)


def _interpreters() -> Iterator[Diagnosis]:
    for name in _runtimes():
        minor = runtimes.get(name).minor
        path = uv.interpreter(minor, install=False)
        if path is not None:
            yield Diagnosis(f"interpreter for {name}", "ok", str(path))
            continue
        detail = "none here; the first build lets uv install one, or leaves bytecode out"
        advice = f"uv python install 3.{minor}"
        yield Diagnosis(f"interpreter for {name}", "warn", detail, advice)


def _runtimes() -> list[str]:
    """Return the runtimes of the nearest layers.yaml, or all where there is no valid one."""
    try:
        from layersmith.config import loader  # noqa: PLC0415 -- needs packages
        from layersmith.verbs import options  # noqa: PLC0415 -- needs packages

        layers = loader.load(options.nearest_config()).config.layers.values()
    except (ImportError, LayersmithError):
        return list(runtimes.RUNTIMES)
    return list(dict.fromkeys(str(name) for layer in layers for name in layer.runtimes))


def _index() -> Iterator[Diagnosis]:
    # uv is asked, because it knows the indexes and proxies that this user has configured.
    words = ("-", "--no-deps", "--no-cache")
    try:
        uv.compile_pins(*words, stdin="packaging\n", timeout=INDEX_TIMEOUT)
    except process.CommandFailed as failed:
        said = (failed.output.splitlines() or [str(failed)])[-1].strip()
        advice = "check the network, a proxy (HTTPS_PROXY), or uv's index (UV_DEFAULT_INDEX)"
        yield Diagnosis("package index", "missing", said, advice, needed=True)
    else:
        yield Diagnosis("package index", "ok", "answers", needed=True)


def _engine() -> Iterator[Diagnosis]:
    try:
        from layersmith.engine.client import Engine  # noqa: PLC0415 -- needs an extra

        engine = Engine(run="doctor")
    except ImportError:
        detail = "not looked at: the extra prove is not installed"
        yield Diagnosis("Docker engine", "warn", detail, extras.install_command("prove"))
        return
    except LayersmithError as problem:
        detail = f"{problem.message}: {problem.cause}" if problem.cause else problem.message
        yield Diagnosis("Docker engine", "missing", detail, _engine_advice(detail))
        return
    facts = engine.facts
    yield Diagnosis("Docker engine", "ok", f"{facts.version} on {facts.architecture}")
    yield _emulation(facts.architecture)
    yield from _images(engine)


def _engine_advice(said: str) -> str:
    otherwise = "or prove without it: `smoke --runner host`"
    if sys.platform == "darwin":
        return f"start Docker Desktop, or `brew install colima docker && colima start`; {otherwise}"
    if "permission denied" in said.lower():
        return f"`sudo usermod -aG docker $USER`, then log in again; {otherwise}"
    return f"install Docker and start it (`sudo systemctl start docker`); {otherwise}"


def _emulation(engine: str) -> Diagnosis:
    from layersmith.engine import emulation  # noqa: PLC0415 -- needs an extra

    found = emulation.of("arm64", engine)
    name = "arm64 programs"
    install = emulation.REGISTER
    renew = f"{install.replace('--install arm64', '--uninstall qemu-aarch64')}, then `{install}`"
    if found.native:
        return Diagnosis(name, "ok", "run natively")
    if found.warning:
        return Diagnosis(name, "warn", f"emulated by {found.emulator}, which is old", renew)
    if found.emulator:
        return Diagnosis(name, "ok", f"emulated by {found.emulator}")
    if sys.platform != "linux":
        return Diagnosis(name, "ok", "emulated in the engine's virtual machine")
    return Diagnosis(name, "missing", "no emulator is registered for the proofs", install)


def _images(engine: Engine) -> Iterator[Diagnosis]:
    from layersmith.prove import base_images  # noqa: PLC0415 -- needs an extra
    from layersmith.prove.base_images import standin  # noqa: PLC0415 -- needs an extra

    named = os.environ.get(base_images.VARIABLE)
    for name in _runtimes():
        runtime = runtimes.get(name)
        pinned = base_images.pinned(runtime, "arm64")
        tagged = base_images.by_tag(runtime, "arm64")
        wanted = [named] if named else [pinned, standin.tag(runtime, "arm64"), tagged]
        found = next((tag for tag in wanted if tag and engine.image(tag)), None)
        if found:
            yield Diagnosis(f"image for {name}", "ok", found)
        elif named or pinned:
            yield Diagnosis(f"image for {name}", "warn", "not here; the first proof pulls it")
        else:
            detail = f"not here; the first proof pulls {tagged}, which no digest pins"
            made = f"`image --pin`; without a registry: `image --runtime {name}`"
            yield Diagnosis(f"image for {name}", "warn", detail, made)


def _credentials() -> Iterator[Diagnosis]:
    places = [name for name in CREDENTIAL_VARIABLES if os.environ.get(name)]
    for variable, default in (
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
        ("AWS_CONFIG_FILE", "config"),
    ):
        home = os.path.expanduser("~/.aws")  # noqa: PTH111 -- no error for a user without a home
        path = Path(os.environ.get(variable) or Path(home) / default)
        if _has_sections(path):
            places.append(str(path))
    if places:
        yield Diagnosis("AWS credentials", "ok", f"present in {', '.join(places)}; not tried")
        return
    advice = "`aws configure sso`, or set AWS_PROFILE; needed by publish, deploy and session"
    yield Diagnosis("AWS credentials", "warn", "none here", advice)


def _has_sections(path: Path) -> bool:
    parser = configparser.RawConfigParser()
    try:
        return bool(parser.read(path, "utf-8") and parser.sections())
    except (configparser.Error, UnicodeDecodeError, OSError):
        return path.is_file()


def _cache() -> Iterator[Diagnosis]:
    root = cache.cache_root()
    if not root.exists():
        above = next((folder for folder in root.parents if folder.exists()), root)
        writable, detail = os.access(above, os.W_OK), f"{root}, not made yet"
    else:
        writable, detail = os.access(root, os.W_OK), f"{root}, {console.megabytes(_size(root), 0)}"
    if writable:
        yield Diagnosis("cache", "ok", f"{detail}; it can be deleted at any time", needed=True)
        return
    advice = "set LAYERSMITH_CACHE to a folder of your own"
    yield Diagnosis("cache", "missing", f"{detail}; it cannot be written", advice, needed=True)


def _size(folder: Path) -> int:
    """Return the bytes of all files below a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(place) / name).st_size
            except OSError:
                continue
    return total


def _survived(look: Callable[[], Iterator[Diagnosis]]) -> Iterator[Diagnosis]:
    """Yield what a look finds, and what kept it from finding more: the others are still wanted."""
    try:
        with disk.explained():
            yield from look()
    except LayersmithError as problem:
        name = look.__name__.strip("_")
        yield Diagnosis(name, "missing", problem.message, problem.hint, needed=True)


LOOKS: list[Callable[[], Iterator[Diagnosis]]] = [
    *(_python, _packages, _uv, _interpreters, _index, _engine, _credentials, _cache),
]
"""What is looked at, in the order of the answer."""

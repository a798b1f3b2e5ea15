"""What the verbs that work on targets have in common: which file, which targets, which folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import console
from layersmith.base import runtimes
from layersmith.config import loader
from layersmith.plan import Target, plan

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from layersmith.config.loader import LoadedConfig


def settle(args: argparse.Namespace) -> None:
    """Fill in what --config and --dist are where they were not given.

    That is the nearest layers.yaml, in the working directory or above it, and dist/ beside the
    configuration. What was given is relative to the working directory.
    """
    config = getattr(args, "config", None) or nearest_config()
    if hasattr(args, "config"):
        args.config = config
    if hasattr(args, "dist") and args.dist is None:
        args.dist = (config if config.is_dir() else config.parent) / "dist"


def nearest_config() -> Path:
    """Return the nearest layers.yaml; the working directory's where there is none at all."""
    here = Path(loader.FILE_NAME)
    above = (folder / here for folder in Path.cwd().parents)
    return here if here.is_file() else next((path for path in above if path.is_file()), here)


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the configuration."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the configuration (default: the nearest layers.yaml, here or above)",
    )


def add_filters(parser: argparse.ArgumentParser, *, positional: bool = True) -> None:
    """Add the options that choose the configuration and the targets.

    Args:
        parser: The verb's parser.
        positional: Take names of layers without an option, too.
    """
    if positional:
        parser.add_argument(
            "layer",
            nargs="*",
            action="extend",
            default=[],
            metavar="LAYER",
            help="only these layers (default: all)",
        )
    add_config(parser)
    parser.add_argument(
        "--layer", action="append", default=[], metavar="NAME", help="only this layer; repeatable"
    )
    parser.add_argument(
        "--runtime",
        action="append",
        default=[],
        metavar="RUNTIME",
        help="only this runtime, such as python3.13; repeatable",
    )
    parser.add_argument(
        "--arch",
        action="append",
        default=[],
        metavar="ARCH",
        help="only this architecture, arm64 or x86_64; repeatable",
    )


def add_dist(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the folder of the artifacts."""
    parser.add_argument(
        "--dist",
        type=Path,
        metavar="DIR",
        help="folder of the artifacts (default: dist beside layers.yaml)",
    )


def warn_of_deprecated(names: Iterable[str]) -> None:
    """Warn on stderr of each deprecated runtime among ``names``, once, with its dates."""
    for notice in runtimes.notices(names):
        console.warn(notice)


def chosen(args: argparse.Namespace) -> tuple[LoadedConfig, list[Target]]:
    """Load the configuration and return it with the targets that the options choose.

    Raises:
        ConfigError: The configuration is not valid, or an option names what does not exist.
    """
    loaded = loader.load(args.config)
    targets = plan(
        loaded.config, layers=args.layer, only_runtimes=args.runtime, architectures=args.arch
    )
    return loaded, targets

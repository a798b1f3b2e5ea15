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


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the configuration and the targets."""
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("layers.yaml"),
        metavar="FILE",
        help="the configuration (default: layers.yaml)",
    )
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
        default=Path("dist"),
        metavar="DIR",
        help="folder of the artifacts (default: dist)",
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

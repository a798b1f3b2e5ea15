"""What a layer should and should not hold, beside what its runtime can load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith import runtimes

if TYPE_CHECKING:
    from collections.abc import Collection

    from layersmith.plan import Target


@dataclass(frozen=True)
class Expected:
    """The wishes of whoever asked for a layer.

    Attributes:
        requirements: Normalized names of the distributions that must be importable.
        forbidden: Dotted names of modules that must not be there.
        kept: Normalized names that are kept although the runtime provides them.
        managed: Names or ARNs of layers that functions use beside this one.
        pruned: Prune rules of layers.yaml itself, of which nobody needs to be warned.
    """

    requirements: Collection[str] = ()
    forbidden: Collection[str] = ()
    kept: Collection[str] = ()
    managed: Collection[str] = ()
    pruned: Collection[str] = ()

    @classmethod
    def of(cls, target: Target, requirements: Collection[str] = ()) -> Expected:
        """Return what the settings of a target's layer say.

        Args:
            target: What is built.
            requirements: Normalized names of what was asked for; what is excluded or provided by
                the runtime may be among them.
        """
        settings = target.settings
        provided = runtimes.PROVIDED - set(settings.keep_provided)
        return cls(
            requirements=set(requirements) - set(settings.excludes) - provided,
            forbidden=settings.forbid_imports,
            kept=settings.keep_provided,
            managed=settings.managed_layers,
            pruned=settings.prune.add,
        )

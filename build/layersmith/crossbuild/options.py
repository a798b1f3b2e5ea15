"""What layers.yaml may say about one sdist, in the form that the build takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layersmith.config.models import BuildOptions


@dataclass(frozen=True)
class CrossBuildOptions:
    """How an sdist is compiled.

    Attributes:
        setup_args: Arguments for the set-up of the backend: meson's for meson-python, CMake's for
            scikit-build-core, ``setup.py``'s global options for setuptools.
        config_settings: PEP 517 config settings, passed on as they are.
        environment: Variables that the build sees.
        container: Build in a container of the target's architecture rather than cross-compile.
    """

    setup_args: tuple[str, ...] = ()
    config_settings: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    container: bool = False

    @classmethod
    def of(
        cls, options: BuildOptions | None, environment: Mapping[str, str] | None = None
    ) -> CrossBuildOptions:
        """Return the options of layers.yaml; ``environment`` is the layer's own."""
        if options is None:
            return cls(environment=dict(environment or {}))
        return cls(
            tuple(options.setup_args),
            dict(options.config_settings),
            {**(environment or {}), **options.environment},
            options.container,
        )

    @property
    def record(self) -> dict[str, Any]:
        """The options as the lock and the manifest hold them: what differs from the defaults."""
        whole = {
            "setup_args": list(self.setup_args),
            "config_settings": dict(sorted(self.config_settings.items())),
            "environment": dict(sorted(self.environment.items())),
            "container": self.container,
        }
        return {name: value for name, value in whole.items() if value}

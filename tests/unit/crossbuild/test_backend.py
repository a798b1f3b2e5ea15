"""What a build backend says is shown where somebody asks for it, and not as a warning of Python."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith.crossbuild.backend import Backend
from layersmith.crossbuild.isolated import Virtualenv
from layersmith.crossbuild.sdist import Project
from layersmith.errors import BuildError
from pyproject_hooks import BuildBackendWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def test_builds_that_overlap_keep_their_backends_quiet(
    recwarn: pytest.WarningsRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The filters of warnings are those of the process, and builds run in threads."""
    started, followed, ended = threading.Event(), threading.Event(), threading.Event()

    def first() -> list[str]:
        started.set()
        followed.wait(10)
        return []

    def second() -> list[str]:
        followed.set()
        ended.wait(10)
        warnings.warn("a classifier is old", BuildBackendWarning, stacklevel=1)
        return []

    def call(hook: Callable[[], list[str]]) -> None:
        project = Project("demo", "1.0", "backend", (), ())
        backend = Backend(
            project,
            Path("/nowhere"),
            Virtualenv(Path("/nowhere")),
            {},
            lambda said, _: BuildError(said),
        )
        monkeypatch.setattr(backend._hooks, "get_requires_for_build_wheel", lambda _: hook())
        assert backend.requires({}) == []

    one = threading.Thread(target=call, args=(first,))
    two = threading.Thread(target=call, args=(second,))
    one.start()
    assert started.wait(10)
    two.start()
    one.join(10)
    ended.set()
    two.join(10)
    assert [str(each.message) for each in recwarn] == []

"""The commit that a target is built from: what git says of it, and a work tree of it elsewhere."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import layersmith
from layersmith import lock, process
from layersmith.assemble.manifest import BuildCommit
from layersmith.config.models import file_of
from layersmith.errors import LayersmithError, LockError
from layersmith.lock import inputs as lockinputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layersmith.plan import Target


def ask(
    root: Path, *words: str, stdin: str | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Run git in a folder and return what it said.

    Raises:
        CommandFailed: git is missing or refused.
    """
    # Optional locks would write to the index of a repository that is only looked at. No terminal:
    # a private repository would otherwise wait for a login that nobody types.
    quiet = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", **(env or {})}
    return process.run(["git", *words], cwd=root, stdin=stdin, env=quiet).stdout


def edited(root: Path, paths: Sequence[Path], ask: Callable[..., str] = ask) -> list[str]:
    """Return what differs from the last commit or is not in it, by path below the repository's top.

    Args:
        root: A folder of the work tree.
        paths: Files and folders. In a folder, files that git ignores do not count.
        ask: Runs git.
    """
    # Literal, because a path may hold what git takes for a pattern.
    listed = [f":(literal){os.path.relpath(path.resolve(), root.resolve())}" for path in paths]
    said = ask(root, "status", "--porcelain", "-z", "--untracked-files=all", "--", *listed)
    names = [line[3:] for line in said.split("\0") if line]
    ignored = ask(root, "status", "--porcelain", "-z", "--ignored", "--", *listed).split("\0")
    files = {path.resolve() for path in paths if path.is_file()}
    above = Path(ask(root, "rev-parse", "--show-toplevel").strip()).resolve()
    names += [
        line[3:]
        for line in ignored
        if line.startswith("!! ")
        and any(path == above / line[3:] or (above / line[3:]) in path.parents for path in files)
    ]
    return names


@contextlib.contextmanager
def checkout(root: Path, commit: str, ask: Callable[..., str] = ask) -> Iterator[Path]:
    """Give a clean work tree of a commit, which is gone afterwards.

    Args:
        root: The repository, or a folder of its work tree.
        commit: Id of the commit; no branch or tag needs to have it.
        ask: Runs git.
    """
    # A hook of the repository is made for work trees that people use.
    quiet = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.hooksPath"}
    quiet["GIT_CONFIG_VALUE_0"] = os.devnull
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder).resolve() / "tree"
        words = ("worktree", "add", "--quiet", "--detach", str(tree), commit)
        ask(root, *words, env=quiet)
        try:
            yield tree
        finally:
            ask(root, "worktree", "remove", "--force", str(tree))


def inputs(targets: Sequence[Target], root: Path) -> list[Path]:
    """Return the files and folders below the folder of layers.yaml that a layer is built from.

    Args:
        targets: The layer's targets.
        root: Folder of layers.yaml.

    Raises:
        LockError: A lock or a requirements file cannot be read.
    """
    found: set[Path] = set()
    for target in targets:
        settings = target.settings
        path = lock.lock_path(target, root)
        found |= {path, *(root / folder for folder in _folders(path, target))}
        found |= {root / source for source in (*settings.files.values(), *settings.modules)}
        found |= {root / stub.path for stub in settings.stubs.values()}
        found |= {root / settings.smoke} if settings.smoke else set()
        found |= {target.book.team} if target.book.team else set()
        for listed in (settings.requirements, settings.constraints):
            if file := file_of(listed):
                found |= set(lockinputs.files(root / file, root))
    return sorted(path for path in found if path.exists())


def _folders(path: Path, target: Target) -> list[str]:
    """Return the local packages of a target; a damaged lock names none beside its own."""
    try:
        return lock.folders(lock.read(path), target)
    except LockError:
        return list(target.settings.packages)


@dataclass(frozen=True)
class Checkout:
    """The checkout of git that a run builds from, looked at once.

    Attributes:
        source: What manifests say of it; ``changed`` has all of the run.
        top: Its top folder.
        read: Identifier of a target -> what it is built from.
    """

    source: BuildCommit
    top: Path
    read: Mapping[str, Sequence[Path]]

    def of(self, target: Target) -> BuildCommit:
        """Return the commit, and those inputs of one target that are not as in it."""
        mine = self.read.get(target.identifier, ())
        changed = [name for name in self.source.changed if _concerns(self.top / name, mine)]
        return self.source.model_copy(update={"changed": changed})


def _concerns(changed: Path, paths: Sequence[Path]) -> bool:
    return any(changed == one or one in changed.parents or changed in one.parents for one in paths)


def look(config: Path, targets: Sequence[Target]) -> Checkout | None:
    """Return the checkout that targets are built from; None outside git or before a first commit.

    Args:
        config: layers.yaml.
        targets: What is built.
    """
    config = config.resolve()
    root = config.parent
    try:
        commit, top, *_ = ask(root, "rev-parse", "HEAD", "--show-toplevel").splitlines()
        above = Path(top).resolve()
        read = {one.identifier: [config, *_all(one, root, above)] for one in targets}
        every = sorted({path for paths in read.values() for path in paths})
        changed = sorted(set(edited(root, every)))
    except (process.CommandFailed, ValueError):
        return None
    source = BuildCommit(
        repository=origin(root),
        commit=commit,
        config=config.relative_to(above).as_posix(),
        changed=changed,
    )
    return Checkout(source, above, read)


def _all(target: Target, root: Path, top: Path) -> list[Path]:
    """Return a target's inputs in a repository, the tool among them where it is part of it."""
    try:
        found = [path.resolve() for path in inputs([target], root)]
    except LayersmithError:
        found = []  # the build says what is wrong with them
    tool = Path(layersmith.__file__).resolve().parent
    return [path for path in (*found, tool) if path.is_relative_to(top)]


def origin(root: Path) -> str | None:
    """Return where the repository was cloned from, without a login; None for a folder."""
    try:
        url = ask(root, "remote", "get-url", "origin").strip()
    except process.CommandFailed:
        return None
    return process.without_logins(url) if "://" in url or url.startswith("git@") else None

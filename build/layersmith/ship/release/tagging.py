"""Commits a release and tags it in one step: git moves the branch and makes the tag together.

The commit is made beside the work tree, from HEAD and the two files that changed, so that nothing
else that is staged or edited slips into a release. Where the branch is protected, the commit gets a
branch of its own, and the tag follows after the merge.

Before that the commit is built in a clean work tree, so that a tag names what its own tree builds.
What lies in the user's work tree may build and its commit may not: a file that git ignores, that
was never added, or that the tool itself reads. The copy has nothing but the commit.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import layersmith
from layersmith import cache, process
from layersmith.assemble import manifest as manifests
from layersmith.base import versions
from layersmith.errors import ShipError
from layersmith.supply import commits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layersmith.assemble.manifest import Manifest


def tag_name(layer: str, version: str) -> str:
    """Return the tag of a release, ``chromadb-vector-v1.2.0``."""
    return f"{layer}-v{version}"


def layer_of(tag: str) -> str | None:
    """Return the layer of a release's tag; None for a tag that is not one of a layer."""
    layer, _, version = tag.rpartition("-v")
    # A layer's name may hold -v, a version may, too: 1.0.0-v.1.
    while layer and not versions.is_valid(version):
        layer, _, more = layer.rpartition("-v")
        version = f"{more}-v{version}"
    return layer or None


def branch_name(tag: str) -> str:
    """Return the branch that a pull request for a release comes from."""
    return f"release/{tag}"


def exists(root: Path, tag: str) -> bool:
    """Whether the repository has the tag."""
    return _has(root, f"refs/tags/{tag}")


def require_identity(root: Path) -> None:
    """Refuse to begin where git does not know who commits.

    Raises:
        ShipError: It does not.
    """
    for who in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
        if _look(root, "var", who).returncode != 0:
            raise ShipError(
                "git has no identity to commit with; nothing was edited",
                cause="user.name and user.email are not set",
                hint="set them with `git config user.name NAME` and `git config user.email EMAIL`",
            )


def refuse_edited(root: Path, paths: Sequence[Path]) -> None:
    """Refuse to release from what differs from the last commit, or is not in it.

    Args:
        root: The work tree.
        paths: Files and folders. In a folder, files that git ignores do not count.

    Raises:
        ShipError: One does; a release that was interrupted leaves such files, too.
    """
    names = commits.edited(root, paths, _git)
    if names:
        raise ShipError(
            f"not as in the last commit: {', '.join(names)}",
            cause="it was edited or never added, or a release was interrupted before its commit",
            hint="commit it, or drop the change with `git checkout HEAD -- FILE`",
        )


@dataclass(frozen=True)
class Commit:
    """A commit that no branch has yet.

    Attributes:
        id: Its id.
        parent: The commit it stands on, HEAD.
        files: Path below the work tree -> new content.
        message: Its message; the tag gets the same.
    """

    id: str
    parent: str
    files: Mapping[str, str]
    message: str


def commit(root: Path, files: Mapping[str, str], message: str) -> Commit:
    """Make a commit of HEAD and the files' new content; no branch, file or index changes.

    Args:
        root: The work tree.
        files: Path below it -> new content.
        message: Message of the commit; its first line is the subject.

    Raises:
        ShipError: git refused.
    """
    head = _git(root, "rev-parse", "HEAD").strip()
    tree = _tree(root, head, files)
    signed = ["-S"] if _asks(root, "commit.gpgSign") else []
    words = ("commit-tree", tree, "-p", head, *signed, "-F", "-")
    return Commit(_git(root, *words, stdin=message).strip(), head, files, message)


def move(root: Path, made: Commit, tag: str) -> None:
    """Move the branch to the commit and tag it.

    The branch and the tag move in one transaction of git, and only if the branch is still where
    it was. Nothing is edited before the tag is made and signed; a run that is killed between that
    and the transaction leaves edited files, which refuse_edited names.

    Args:
        root: The work tree.
        made: The commit.
        tag: Name of the tag.

    Raises:
        ShipError: git refused, such as on a detached HEAD or a tag that is there.
    """
    branch = _branch(root)
    tag_id = _tag(root, tag, made.id, made.message)
    for path, content in made.files.items():
        cache.write_text(root / path, content)
    moves = f"update {branch} {made.id} {made.parent}\ncreate refs/tags/{tag} {tag_id}\n"
    _transaction(root, moves)
    # The index of the work tree still has the old content of the two files staged.
    _git(root, "update-index", "--add", "--", *made.files)


def offer(root: Path, made: Commit, branch: str) -> None:
    """Make a branch of the commit; the work tree and its branch stay as they are.

    Raises:
        ShipError: The branch is there, or git refused.
    """
    if _has(root, f"refs/heads/{branch}"):
        raise ShipError(
            f"the branch {branch} is there already",
            cause="an earlier run made it",
            hint=f"push it, or delete it: `git branch -D {branch}`",
        )
    _transaction(root, f"create refs/heads/{branch} {made.id}\n")


def tag_head(root: Path, tag: str, commit_id: str, message: str) -> None:
    """Tag a commit that HEAD already has.

    Raises:
        ShipError: git refused, such as for a tag that is there.
    """
    _transaction(root, f"create refs/tags/{tag} {_tag(root, tag, commit_id, message)}\n")


def head(root: Path, *, unless: str) -> str:
    """Return the commit of HEAD.

    Args:
        root: The work tree.
        unless: A branch that must not be checked out: what it holds is not merged yet.

    Raises:
        ShipError: It is checked out.
    """
    if _branch(root) == f"refs/heads/{unless}":
        raise ShipError(
            f"{unless} is the branch of the pull request, not the one it was merged into",
            hint="check that one out and pull: `git switch main && git pull`",
        )
    return _git(root, "rev-parse", "HEAD").strip()


def top(root: Path) -> Path:
    """Return the folder of the work tree that holds ``root``.

    Raises:
        ShipError: It is not in a repository of git.
    """
    return Path(_git(root, "rev-parse", "--show-toplevel").strip()).resolve()


@contextmanager
def checkout(root: Path, commit_id: str) -> Iterator[Path]:
    """Give a clean work tree of a commit, which is gone afterwards.

    Raises:
        ShipError: git refused.
    """
    with commits.checkout(root, commit_id, _git) as tree:
        yield tree


def _transaction(root: Path, moves: str) -> None:
    """Move references together, or none of them."""
    _git(root, "update-ref", "--stdin", stdin=f"start\n{moves}commit\n")


def _branch(root: Path) -> str:
    return _git(root, "symbolic-ref", "HEAD").strip()


def _has(root: Path, reference: str) -> bool:
    return _look(root, "rev-parse", "--quiet", "--verify", reference).returncode == 0


def _tree(root: Path, head: str, files: Mapping[str, str]) -> str:
    """Write the tree of HEAD with the files' new content, past work tree and index."""
    prefix = _git(root, "rev-parse", "--show-prefix").strip()
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        _git(root, "read-tree", head, env=index)
        for path, content in files.items():
            mode = _git(root, "ls-tree", head, "--", path).partition(" ")[0] or "100644"
            blob = _git(root, "hash-object", "-w", "--stdin", "--path", path, stdin=content).strip()
            entry = f"{mode},{blob},{prefix}{path}"
            _git(root, "update-index", "--add", "--cacheinfo", entry, env=index)
        return _git(root, "write-tree", env=index).strip()


def _tag(root: Path, tag: str, made: str, message: str) -> str:
    """Write the tag's object, signed where git is set to sign tags, and no reference to it."""
    if not _asks(root, "tag.gpgSign"):
        who = _git(root, "var", "GIT_COMMITTER_IDENT").strip()
        body = f"object {made}\ntype commit\ntag {tag}\ntagger {who}\n\n{message}\n"
        return _git(root, "mktag", stdin=body).strip()
    # Only `git tag` signs, and it also writes the reference: in a repository of its own, which
    # shares objects and settings with the real one.
    shared = (root / _git(root, "rev-parse", "--git-common-dir").strip()).resolve()
    kind = _git(root, "rev-parse", "--show-object-format").strip()
    with tempfile.TemporaryDirectory() as folder:
        _git(root, "init", "--quiet", "--bare", f"--object-format={kind}", folder)
        apart = {
            "GIT_DIR": folder,
            "GIT_OBJECT_DIRECTORY": str(shared / "objects"),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "include.path",
            "GIT_CONFIG_VALUE_0": str(shared / "config"),
        }
        _git(root, "tag", "--sign", "-F", "-", tag, made, stdin=message, env=apart)
        return _git(root, "rev-parse", f"refs/tags/{tag}", env=apart).strip()


def _asks(root: Path, setting: str) -> bool:
    """Whether a setting of git that is true or false is true."""
    return _look(root, "config", "--type=bool", "--get", setting).stdout.strip() == "true"


def _look(root: Path, *words: str) -> process.Completed:
    """Ask git something that it may answer by its exit code."""
    try:
        return process.run(["git", *words], cwd=root, check=False)
    except process.CommandFailed as failed:
        raise _refused(words[0], failed) from failed


def _git(
    root: Path, *words: str, stdin: str | None = None, env: Mapping[str, str] | None = None
) -> str:
    try:
        return commits.ask(root, *words, stdin=stdin, env=env)
    except process.CommandFailed as failed:
        raise _refused(words[0], failed) from failed


def _refused(command: str, failed: process.CommandFailed) -> ShipError:
    if isinstance(failed.__cause__, OSError):
        return ShipError(
            f"git cannot be started: {failed.output}",
            hint="install git; nothing was tagged",
        )
    return ShipError(
        f"git {command} failed: {failed.output.splitlines()[0] if failed.output else ''}",
        cause="the repository is not in a state to release from",
        hint="run `git status`; nothing was tagged",
    )


def refuse_plain(built: Mapping[str, Manifest]) -> None:
    """Refuse builds without the bytecode that layers.yaml asks for.

    Args:
        built: Identifier of a target -> its manifest.

    Raises:
        ShipError: The machine that built one had no interpreter of its runtime's version.
    """
    plain = {name: one.bytecode.note for name, one in built.items() if one.bytecode.note}
    if plain:
        raise ShipError(
            f"built without bytecode: {', '.join(sorted(plain))}",
            cause="; ".join(sorted({note for note in plain.values() if note})),
            hint="install it (`uv python install VERSION`) and build again, "
            "or set `bytecode: none` in layers.yaml",
        )


def compare_rebuilt(
    root: Path, commit: str, config: str, layer: str, built: Mapping[str, Manifest]
) -> int:
    """Build a layer from a commit and compare its zips with those of the present build.

    Args:
        root: Folder of layers.yaml.
        commit: Id of the commit; no branch or tag needs to have it.
        config: Name of layers.yaml in its folder.
        layer: Name of the layer.
        built: Identifier of a target -> its manifest in the present build.

    Returns:
        How many zips were compared.

    Raises:
        ShipError: The commit does not build, or it builds other zips.
    """
    with checkout(root, commit) as tree:
        dist = tree / ".release"
        _build(tree, root, config, layer, dist)
        # An SBOM's name has one dot more, and the index is of all of them.
        paths = [
            path for path in dist.glob(f"{layer}-*.json") if not path.name.endswith(".cdx.json")
        ]
        made = {one.identifier: one for one in map(manifests.read, paths)}
    refuse_plain(made)
    differ = [
        name
        for name in sorted({*built, *made})
        if name not in built
        or name not in made
        or built[name].artifact.sha256 != made[name].artifact.sha256
    ]
    if differ:
        moved = sorted(
            {text for name in differ for text in _moved(built.get(name), made.get(name))}
        )
        hint = f"`python build/layers.py build {layer}` and try again; nothing was tagged"
        if moved:
            hint += "; a version that is taken from git has to be set under `environment`"
        raise ShipError(
            f"the commit builds other zips than those in dist/: {', '.join(differ)}",
            target=layer,
            cause="; ".join(moved)
            or "dist/ is older than the last commit, or was built from files that are not in it",
            hint=hint,
        )
    return len(made)


def _moved(here: Manifest | None, there: Manifest | None) -> list[str]:
    """Return the local packages that have another version in the commit than in dist/."""
    if here is None or there is None:
        return []
    local = {one.name: one.version for one in here.distributions if one.origin == "local"}
    return [
        f"{one.name} is {local[one.name]} in dist/ and {one.version} in the commit"
        for one in there.distributions
        if one.name in local and local[one.name] != one.version
    ]


def _build(tree: Path, root: Path, config: str, layer: str, dist: Path) -> None:
    """Build with the tool of the commit where the repository holds the tool itself."""
    here = top(root)
    entry = Path(layersmith.__file__).resolve().parents[1] / "layers.py"
    if not entry.is_file():
        program = ["-c", "from layersmith.start import program; raise SystemExit(program())"]
    elif entry.is_relative_to(here):
        program = [str(tree / entry.relative_to(here))]
    else:
        program = [str(entry)]
    there = tree / root.resolve().relative_to(here)
    words = ["build", layer, "--config", str(there / config), "--dist", str(dist)]
    with tempfile.TemporaryDirectory() as empty:
        try:
            argv = [sys.executable, *program, *words, "--force", "--quiet"]
            process.run(argv, cwd=Path(empty), inherit=True)
        except process.CommandFailed as failed:
            raise ShipError(
                f"the commit to release does not build: {failed.output}",
                target=layer,
                cause="a file that the build needs is not committed",
                hint="commit it; nothing was tagged",
            ) from failed

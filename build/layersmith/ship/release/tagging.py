"""Commits a release and tags it in one step: git moves the branch and makes the tag together.

The commit is made beside the work tree, from HEAD and the two files that changed, so that nothing
else that is staged or edited slips into a release.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache, process
from layersmith.errors import ShipError

if TYPE_CHECKING:
    from collections.abc import Mapping


def tag_name(layer: str, version: str) -> str:
    """Return the tag of a release, ``chromadb-vector-v1.2.0``."""
    return f"{layer}-v{version}"


def exists(root: Path, tag: str) -> bool:
    """Whether the repository has the tag."""
    found = process.run(
        ["git", "rev-parse", "--quiet", "--verify", f"refs/tags/{tag}"], cwd=root, check=False
    )
    return found.returncode == 0


def refuse_edited(root: Path, paths: list[str]) -> None:
    """Refuse to release from files that differ from the last commit.

    Raises:
        ShipError: One does; a release that was interrupted leaves such files, too.
    """
    said = _git(root, "status", "--porcelain", "--", *paths)
    if said.strip():
        names = ", ".join(line[3:] for line in said.splitlines())
        raise ShipError(
            f"{names} differs from the last commit",
            cause="it was edited, or a release was interrupted before its commit",
            hint=f"commit it, or drop it by `git checkout HEAD -- {' '.join(paths)}`",
        )


def commit(root: Path, files: Mapping[str, str], tag: str, message: str) -> str:
    """Write the files, commit them and tag the commit; return the commit's id.

    The branch and the tag move in one transaction of git, and only if the branch is still where
    it was. A run that is killed before it leaves edited files; refuse_edited names them.

    Args:
        root: The work tree.
        files: Path below it -> new content.
        tag: Name of the tag.
        message: Message of the commit and of the tag; its first line is the subject.

    Raises:
        ShipError: git refused, such as on a detached HEAD or a tag that is there.
    """
    branch = _git(root, "symbolic-ref", "HEAD").strip()
    head = _git(root, "rev-parse", "HEAD").strip()
    for path, content in files.items():
        cache.write_text(root / path, content)
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        _git(root, "read-tree", head, env=index)
        _git(root, "update-index", "--add", "--", *files, env=index)
        tree = _git(root, "write-tree", env=index).strip()
    made = _git(root, "commit-tree", tree, "-p", head, "-F", "-", stdin=message).strip()
    who = _git(root, "var", "GIT_COMMITTER_IDENT").strip()
    body = f"object {made}\ntype commit\ntag {tag}\ntagger {who}\n\n{message}\n"
    tag_id = _git(root, "mktag", stdin=body).strip()
    steps = f"start\nupdate {branch} {made} {head}\ncreate refs/tags/{tag} {tag_id}\ncommit\n"
    _git(root, "update-ref", "--stdin", stdin=steps)
    # The index of the work tree still has the old content of the two files staged.
    _git(root, "update-index", "--add", "--", *files)
    return made


def _git(
    root: Path, *words: str, stdin: str | None = None, env: Mapping[str, str] | None = None
) -> str:
    try:
        return process.run(["git", *words], cwd=root, stdin=stdin, env=env).stdout
    except process.CommandFailed as failed:
        raise ShipError(
            f"git {words[0]} failed: {failed.output.splitlines()[0] if failed.output else ''}",
            cause="the repository is not in a state to release from",
            hint="run `git status`; nothing was tagged",
        ) from failed

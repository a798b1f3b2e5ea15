"""What the nightly run asks of GitHub: releases, the issue about drift, this month's jobs."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import github
import requests

from layersmith import cache
from layersmith.errors import ShipError
from layersmith.supply import commits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from github.WorkflowJob import WorkflowJob


ON_GITHUB = re.compile(r"github\.com[/:]([\w.-]+/[\w.-]+?)(?:\.git)?/?$")
"""Where a checkout was cloned from, by https or ssh."""


class Topic(NamedTuple):
    """What an issue is about, of which one is open at most: its label and its title."""

    label: str
    title: str


DRIFT = Topic("layer-drift", "Published layers differ from what was built")
"""Open while something differs, one a partition."""

ADVISORIES = Topic("layer-advisories", "Published layers have known vulnerabilities")


class Repository:
    """A repository on GitHub.

    Args:
        name: ``owner/name``.
        token: Token of the run; None reads what is public.
        api: Address of the API, without a slash at its end.
    """

    def __init__(
        self, name: str, token: str | None, api: str = github.Consts.DEFAULT_BASE_URL
    ) -> None:
        auth = github.Auth.Token(token) if token else None
        hub = github.Github(base_url=api, auth=auth, per_page=100, lazy=True)
        self._repository = hub.get_repo(name)

    @staticmethod
    def current() -> Repository:
        """Return the repository of the workflow run.

        Raises:
            ShipError: This is not a workflow run, or it was not given its token.
        """
        names = ("GITHUB_REPOSITORY", "GITHUB_TOKEN")
        missing = [name for name in names if not os.environ.get(name)]
        if missing:
            raise ShipError(
                f"{' and '.join(missing)} {'are' if missing[1:] else 'is'} not set",
                cause="this is not a GitHub workflow run, or its step was not given the token",
                hint="set `GITHUB_TOKEN: ${{ github.token }}` in the step's env",
            )
        api = os.environ.get("GITHUB_API_URL") or github.Consts.DEFAULT_BASE_URL
        return Repository(os.environ["GITHUB_REPOSITORY"], os.environ["GITHUB_TOKEN"], api)

    @staticmethod
    def of(root: Path) -> Repository:
        """Return the repository of the workflow run, else the one that a checkout was cloned from.

        What is public is read without a token.

        Raises:
            ShipError: It was cloned from elsewhere.
        """
        origin = ON_GITHUB.search(commits.origin(root) or "")
        name = os.environ.get("GITHUB_REPOSITORY") or (origin and origin[1])
        if not name:
            raise ShipError(
                f"{root} is not a clone of a repository on GitHub",
                cause="a tag is that of a release there",
                hint="run in a clone, set GITHUB_REPOSITORY=owner/name, or name a zip",
            )
        api = os.environ.get("GITHUB_API_URL") or github.Consts.DEFAULT_BASE_URL
        return Repository(name, os.environ.get("GITHUB_TOKEN"), api)

    def report(self, text: str, *, differs: bool, scope: str = "", topic: Topic = DRIFT) -> str:
        """Keep one issue: opened or brought up to date while something is wrong, closed after.

        Args:
            text: Body of the issue, Markdown.
            differs: Whether something is wrong.
            scope: What the text is about, such as ``aws-cn``; each has an issue of its own.
            topic: What the issue is about.

        Returns:
            What was done, for people.

        Raises:
            ShipError: GitHub refused.
        """
        label = f"{topic.label}-{scope}" if scope else topic.label
        title = f"{topic.title} ({scope})" if scope else topic.title
        with _explained():
            issue = next(iter(self._repository.get_issues(state="open", labels=[label])), None)
            if issue is None and not differs:
                return "nothing is wrong, and no issue is open"
            if issue is None:
                made = self._repository.create_issue(title, body=text, labels=[label])
                return f"opened {made.html_url}"
            issue.edit(body=text, state="open" if differs else "closed")
            return f"{'brought up to date' if differs else 'closed'} {issue.html_url}"

    def jobs(self, since: datetime) -> list[dict[str, Any]]:
        """Return the jobs of all workflow runs that were made since ``since``.

        Raises:
            ShipError: GitHub refused.
        """
        with _explained():
            runs = self._repository.get_workflow_runs(created=f">={since.date().isoformat()}")
            return [_job(job) for run in runs for job in run.jobs()]

    def released(self, since: datetime) -> list[str]:
        """Return the tags of all releases that were published since ``since``; no drafts.

        Raises:
            ShipError: GitHub refused.
        """
        with _explained():
            releases = list(self._repository.get_releases())
        return [
            one.tag_name
            for one in releases
            if not one.draft and one.published_at and one.published_at >= since
        ]

    def attestations(self, sha256: str) -> list[str]:
        """Return the bundles that GitHub keeps of a digest, as JSON.

        Args:
            sha256: Digest of a file in hex.

        Raises:
            ShipError: GitHub refused.
        """
        path = f"{self._repository.url}/attestations/sha256:{sha256}"
        with _explained():
            try:
                _, data = self._repository.requester.requestJsonAndCheck("GET", path)
            except github.UnknownObjectException:
                return []
        found = (data or {}).get("attestations", [])
        return [json.dumps(one["bundle"]) for one in found if one.get("bundle")]

    def download(
        self, tag: str, prefix: str, folder: Path, *, suffixes: tuple[str, ...] = ("",)
    ) -> bool:
        """Save the files of a release whose names begin with ``prefix``, the zip last.

        Args:
            tag: Tag of the release.
            prefix: Begin of the names.
            folder: Where to.
            suffixes: Ends of the names; by default all.

        Returns:
            Whether there is such a release with a zip of that name.

        Raises:
            ShipError: GitHub refused.
        """
        with _explained():
            try:
                release = self._repository.get_release(tag)
            except github.UnknownObjectException:
                return False
            assets = [one for one in release.assets if one.name.startswith(prefix)]
            wanted = [one for one in assets if one.name.endswith(suffixes)]
            for asset in sorted(wanted, key=lambda one: one.name.endswith(".zip")):
                answer = asset.download_asset(chunk_size=1 << 20)
                with cache.atomic_writer(folder / Path(asset.name).name) as stream:
                    for chunk in answer[2] if answer else ():
                        stream.write(chunk)
        return any(asset.name == f"{prefix}zip" for asset in assets)


def _job(job: WorkflowJob) -> dict[str, Any]:
    """Return a job as GitHub's API describes it, as far as it is billed."""
    return {
        "started_at": job.started_at and job.started_at.isoformat(),
        "completed_at": job.completed_at and job.completed_at.isoformat(),
        "labels": job.labels,
    }


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (github.GithubException, requests.RequestException) as problem:
        raise ShipError(
            f"GitHub refused: {str(problem).splitlines()[0]}",
            cause="the token lacks a permission (issues: write, actions: read), or it is down",
            hint="look at `permissions` of the job",
        ) from None

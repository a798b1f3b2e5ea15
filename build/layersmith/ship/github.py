"""What the nightly run asks of GitHub: the issue about drift, and the jobs that ran this month."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from layersmith import cache
from layersmith.errors import ShipError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

LABEL = "layer-drift"
"""Label of the issue that is open while something differs, one a partition."""

TITLE = "Published layers differ from what was built"
TIMEOUT = 30.0
"""Seconds for one request."""


@dataclass(frozen=True)
class Repository:
    """A repository on GitHub, as the variables of a workflow run name it.

    Attributes:
        name: ``owner/name``.
        token: Token of the run.
        api: Address of the API, without a slash at its end.
    """

    name: str
    token: str
    api: str = "https://api.github.com"

    @staticmethod
    def current() -> Repository:
        """Return the repository of the workflow run.

        Raises:
            ShipError: This is no workflow run, or it was not given its token.
        """
        names = ("GITHUB_REPOSITORY", "GITHUB_TOKEN")
        missing = [name for name in names if not os.environ.get(name)]
        if missing:
            raise ShipError(
                f"{' and '.join(missing)} is not set",
                cause="this is no GitHub workflow run, or its step was not given the token",
                hint="set `GITHUB_TOKEN: ${{ github.token }}` in the step's env",
            )
        api = os.environ.get("GITHUB_API_URL") or Repository.api
        return Repository(os.environ["GITHUB_REPOSITORY"], os.environ["GITHUB_TOKEN"], api)

    def report(self, text: str, *, differs: bool, scope: str = "") -> str:
        """Keep one issue: opened or brought up to date while something differs, closed after.

        Args:
            text: Body of the issue, Markdown.
            differs: Whether something differs.
            scope: What the text is about, such as ``aws-cn``; each has an issue of its own.

        Returns:
            What was done, for people.

        Raises:
            ShipError: GitHub refused.
        """
        label = f"{LABEL}-{scope}" if scope else LABEL
        title = f"{TITLE} ({scope})" if scope else TITLE
        query = {"state": "open", "labels": label}
        found = self._ask("GET", "issues", params=query).json()
        if differs and not found:
            body = {"title": title, "body": text, "labels": [label]}
            return f"opened {self._ask('POST', 'issues', json=body).json()['html_url']}"
        if not found:
            return "nothing differs, and no issue is open"
        number = found[0]["number"]
        change = {"body": text} if differs else {"body": text, "state": "closed"}
        url = self._ask("PATCH", f"issues/{number}", json=change).json()["html_url"]
        return f"{'brought up to date' if differs else 'closed'} {url}"

    def jobs(self, since: datetime) -> list[dict[str, Any]]:
        """Return the jobs of all workflow runs that were made since ``since``.

        Raises:
            ShipError: GitHub refused.
        """
        query = {"created": f">={since.date().isoformat()}", "per_page": "100"}
        return [
            job
            for run in self._pages("actions/runs", "workflow_runs", query)
            for job in self._pages(f"actions/runs/{run['id']}/jobs", "jobs", {"per_page": "100"})
        ]

    def download(self, tag: str, prefix: str, folder: Path) -> bool:
        """Save the files of a release whose names begin with ``prefix``, the zip last.

        Args:
            tag: Tag of the release.
            prefix: Begin of the names.
            folder: Where to.

        Returns:
            Whether there is such a release with a zip of that name.

        Raises:
            ShipError: GitHub refused.
        """
        answer = self._ask("GET", f"releases/tags/{tag}", missing_is_fine=True)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return False
        assets = [one for one in answer.json()["assets"] if one["name"].startswith(prefix)]
        for asset in sorted(assets, key=lambda one: one["name"].endswith(".zip")):
            content = self._ask("GET", asset["url"], accept="application/octet-stream").content
            cache.write_bytes(folder / Path(asset["name"]).name, content)
        return any(asset["name"] == f"{prefix}zip" for asset in assets)

    def _pages(self, path: str, key: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        answer = self._ask("GET", path, params=query)
        while True:
            yield from answer.json()[key]
            following = answer.links.get("next", {}).get("url")
            if not following:
                return
            answer = self._ask("GET", following)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        accept: str = "application/vnd.github+json",
        missing_is_fine: bool = False,
        **options: Any,
    ) -> httpx.Response:
        url = path if path.startswith("http") else f"{self.api}/repos/{self.name}/{path}"
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": accept,
            "X-GitHub-Api-Version": "2022-11-28",
        }
        try:
            answer = httpx.request(
                method, url, headers=headers, timeout=TIMEOUT, follow_redirects=True, **options
            )
            if not (missing_is_fine and answer.status_code == httpx.codes.NOT_FOUND):
                answer.raise_for_status()
        except httpx.HTTPError as problem:
            raise ShipError(
                f"GitHub refused {method} {path}: {str(problem).splitlines()[0]}",
                cause="the token lacks a permission (issues: write, actions: read), or it is down",
                hint="look at `permissions` of the job",
            ) from None
        return answer

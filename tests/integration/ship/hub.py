"""A server that answers as GitHub's API does, for one repository."""

from __future__ import annotations

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.support import servers

if TYPE_CHECKING:
    from collections.abc import Iterator


JOB = {"started_at": "2026-11-21T20:00:00Z", "completed_at": "2026-11-21T20:02:01Z"}


class Hub:
    """Issues, runs, jobs and releases of one repository."""

    def __init__(self) -> None:
        self.issues: list[dict[str, Any]] = []
        self.assets: dict[str, bytes] = {}
        self.url = ""

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Any:
        """Return status, body and the address of the next page."""
        parts = path.removeprefix("/repos/owner/name/").split("/")
        match method, parts:
            case "GET", ["issues"]:
                label = query["labels"][0]
                found = [i for i in self.issues if label in i["labels"] and i["state"] == "open"]
                found = [{**i, "labels": [{"name": one} for one in i["labels"]]} for i in found]
                return 200, found, None
            case "POST", ["issues"]:
                number = len(self.issues) + 1
                made = {**body, "number": number, "state": "open", "html_url": f"hub/{number}"}
                made["url"] = f"{self.url}{path}/{number}"
                self.issues.append(made)
                return 201, made, None
            case "PATCH", ["issues", number]:
                issue = self.issues[int(number) - 1]
                issue.update(body)
                return 200, issue, None
            case "GET", ["actions", "runs"]:
                page = int(query.get("page", ["1"])[0])
                following = f"{self.url}{path}?page=2" if page == 1 else None
                run = {"id": page, "jobs_url": f"{self.url}{path}/{page}/jobs"}
                return 200, {"workflow_runs": [run]}, following
            case "GET", ["actions", "runs", number, "jobs"]:
                return 200, {"jobs": [JOB | {"labels": [f"job of run {number}"]}]}, None
            case "GET", ["releases", "tags", "alpha-v1.0.0"]:
                assets = [{"name": n, "url": f"{self.url}/assets/{n}"} for n in self.assets]
                return 200, {"tag_name": "alpha-v1.0.0", "assets": assets}, None
            case "GET", ["", "assets", name]:
                return 200, self.assets[name], None
        return 404, {"message": "Not Found"}, None


@contextmanager
def served() -> Iterator[Hub]:
    """Serve a repository on a port of loopback while the block runs."""
    made = Hub()

    class Handler(BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"null")
            address = urlsplit(self.path)
            if self.headers["Authorization"] != "token secret":
                status, said, following = 401, {"message": "Bad credentials"}, None
            else:
                query = parse_qs(address.query)
                status, said, following = made.answer(self.command, address.path, query, body)
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if following:
                self.send_header("Link", f'<{following}>; rel="next"')
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = handle_request  # noqa: N815 -- http.server's names

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    with servers.serving(server):
        yield made

"""Stands for the program gh: releases, pull requests and the API of what the tests serve."""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


def ask(method: str, path: str, body: Any = None) -> Any:
    """Ask the server of tests.integration.ship.hub."""
    request = urllib.request.Request(
        f"{os.environ['GITHUB_API_URL']}/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"token {os.environ['GH_TOKEN']}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as refusal:
        sys.exit(f"HTTP {refusal.code}: {refusal.read().decode()}")


def repository() -> str:
    """Return what gh would: GH_REPO, or the repository of the clone that it runs in."""
    if "GH_REPO" not in os.environ and not Path(".git").exists():
        sys.exit("failed to run git: fatal: not a git repository")
    return os.environ.get("GH_REPO", "owner/name")


def boolean(text: str) -> bool:
    return {"true": True, "false": False}[text]


def release_create(words: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tag")
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--verify-tag", action="store_true")
    parser.add_argument("--generate-notes", action="store_true")
    parser.add_argument("--prerelease", type=boolean, nargs="?", const=True, default=False)
    args = parser.parse_intermixed_args(words)
    assets = {path.name: base64.b64encode(path.read_bytes()).decode() for path in args.files}
    body = {"tag_name": args.tag, "prerelease": args.prerelease, "assets": assets}
    print(ask("POST", f"repos/{repository()}/releases", body)["html_url"])


def pr_list(words: list[str]) -> None:
    parser = argparse.ArgumentParser()
    for name in ("--head", "--json", "--jq"):
        parser.add_argument(name, required=True)
    args = parser.parse_args(words)
    for one in ask("GET", f"repos/{repository()}/pulls"):
        if one["head"] == args.head:
            print(one["number"])


def pr_create(words: list[str]) -> None:
    parser = argparse.ArgumentParser()
    for name in ("--head", "--title", "--body"):
        parser.add_argument(name, required=True)
    print(ask("POST", f"repos/{repository()}/pulls", vars(parser.parse_args(words)))["html_url"])


def api(words: list[str]) -> None:
    """Ask the API; `--field name=@FILE` sends a file's text, and jq does what gh's own would."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("--method")
    parser.add_argument("--field", action="append", default=[])
    parser.add_argument("--raw-field", action="append", default=[])
    parser.add_argument("--jq", default=".")
    for name in ("--paginate", "--silent"):
        parser.add_argument(name, action="store_true")
    args = parser.parse_args(words)
    fields = dict(field.split("=@", 1) for field in args.field)
    body = {name: Path(file).read_text("utf-8") for name, file in fields.items()}
    body |= dict(field.split("=", 1) for field in args.raw_field)
    method = args.method or ("POST" if body else "GET")
    said = json.dumps(ask(method, args.path, body or None))
    if not args.silent:
        subprocess.run(["jq", "--raw-output", args.jq], input=said, text=True, check=True)


def run_view(words: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("number")
    for name in ("--json", "--jq"):
        parser.add_argument(name, required=True)
    args = parser.parse_args(words)
    run = ask("GET", f"repos/{repository()}/actions/runs/{args.number}")
    said = json.dumps({args.json: run["created_at"]})
    subprocess.run(["jq", "--raw-output", args.jq], input=said, text=True, check=True)


COMMANDS = {
    ("run", "view"): run_view,
    ("release", "create"): release_create,
    ("pr", "list"): pr_list,
    ("pr", "create"): pr_create,
}

if __name__ == "__main__":
    if sys.argv[1] == "api":
        api(sys.argv[2:])
    else:
        COMMANDS[sys.argv[1], sys.argv[2]](sys.argv[3:])

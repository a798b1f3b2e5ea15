"""What an editor says of a layers.yaml: the real yaml-language-server with the schema of docs/."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = Path(__file__).parents[3] / "docs" / "layers.schema.json"
SERVER = "yaml-language-server@1"
MODELINE = f"# yaml-language-server: $schema={SCHEMA.as_uri()}\n"
WRONG = """\
layers:
  one:
    description: mistakes
    version: 1.0
    requirments: [requests]
    runtimes: [python3.99]
    recipes: some
    budgets: {zipped: ten, cold-start: 3 hours}
    prune: yes
    packages: [/lambdas]
    architectures: arm64
    principals: [123456789012]
    environment: {1A: b}
    requirements: [3]
"""
SAID = {
    5: "Write a semantic version, e.g. 1.2.0.",
    6: "Property requirments is not allowed.",
    8: "Write a list: [first, second], or `- first` and `- second` on lines of their own.",
    10: 'Incorrect type. Expected "mapping of defaults, add, keep".',
    11: "Write a path relative to layers.yaml with forward slashes.",
    12: "Write a list: [first, second], or `- first` and `- second` on lines of their own.",
    13: "Write public, an organization (o-...) or an account of 12 digits.",
    14: "Write the name of an environment variable.",
    15: "Write text; quote what YAML would read as a number, a date or true and false.",
}


class Editor:
    """The least of an editor: opens a file and listens to what the server says of it."""

    def __init__(self, to: IO[bytes], back: IO[bytes]) -> None:
        self._to, self._back = to, back
        settings = {"yaml": {"schemas": {SCHEMA.as_uri(): "*.yaml"}, "hover": True}}
        self.settings = settings
        self.ask("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
        self._send({"method": "initialized", "params": {}})
        self._send({"method": "workspace/didChangeConfiguration", "params": {"settings": settings}})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._to.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._to.flush()

    def _receive(self) -> dict[str, Any]:
        length = 0
        while line := self._back.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        received: dict[str, Any] = json.loads(self._back.read(length))
        return received

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        self._send({"id": 1, "method": method, "params": params})
        while (answer := self._receive()).get("id") != 1 or "method" in answer:
            pass
        return answer["result"]

    def open(self, path: Path) -> dict[int, list[str]]:
        """Return what the server says of a file, by line."""
        document = {"uri": path.as_uri(), "languageId": "yaml", "version": 1}
        document["text"] = path.read_text("utf-8")
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        while (heard := self._receive()).get("method") != "textDocument/publishDiagnostics":
            pass
        said: dict[int, list[str]] = {}
        for one in heard["params"]["diagnostics"]:
            said.setdefault(one["range"]["start"]["line"] + 1, []).append(one["message"])
        return said

    def hover(self, path: Path, line: int, column: int) -> str:
        place = {"line": line - 1, "character": column}
        params = {"textDocument": {"uri": path.as_uri()}, "position": place}
        return str(self.ask("textDocument/hover", params)["contents"]["value"])


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("yaml-language-server needs node and npm, which are not on PATH")
    folder = tmp_path_factory.mktemp("server")
    subprocess.run([npm, "install", "--silent", "--prefix", folder, SERVER], check=True)
    program = folder / "node_modules" / ".bin" / "yaml-language-server"
    with subprocess.Popen(
        [node, program, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdin
        assert server.stdout
        yield Editor(server.stdin, server.stdout)
        server.kill()


@pytest.mark.slow
def test_an_editor_names_mistakes_in_plain_words(editor: Editor, tmp_path: Path) -> None:
    path = tmp_path / "layers.yaml"
    path.write_text(MODELINE + WRONG)
    said = editor.open(path)
    assert {line: said.get(line) for line in SAID} == {line: [text] for line, text in SAID.items()}
    assert said[7][0].startswith('Value is not accepted. Valid values: "python3.10"')
    assert sorted(said[9]) == [
        "A duration is a number with ms or s, e.g. 3s or 450ms.",
        "A size is a number with a unit, e.g. 30MB or 250MiB.",
    ]


@pytest.mark.slow
def test_an_editor_explains_keys_and_words(editor: Editor, tmp_path: Path) -> None:
    path = tmp_path / "fine.yaml"
    path.write_text(
        f"{MODELINE}layers:\n  one:\n    description: fine\n    version: 1.0.0\n"
        "    runtimes: [python3.13]\n    requirements: [requests]\n    bytecode: only\n"
    )
    assert editor.open(path) == {}
    assert "Whether the layer holds bytecode" in editor.hover(path, 8, 6)
    assert "tracebacks show no source lines" in editor.hover(path, 8, 16)

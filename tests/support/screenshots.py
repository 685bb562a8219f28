"""Pictures of the pages for README and docs: `make screenshots`. A demo with history is shown."""

import argparse
import json
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from streams.kafka.embedded.ports import free_port
from tests.support.workers import rater_command

IMAGES = Path(__file__).parents[2] / "docs" / "images"
READY_S = 240
# name        | page                                       | width | height
PICTURES = (
    ("overview", "",                                         1280, 860),
    ("statement", "/usage",                                  1280, 900),
    ("line",     "/lines/campaign_calls",                    1280, 900),
    ("campaigns", "/campaigns",                              1280, 480),
    ("prices",   "/prices?q=London",                         1280, 620),
    ("phone",    "",                                          390, 844),
)  # fmt: skip


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    IMAGES.mkdir(exist_ok=True)
    port = free_port("127.0.0.1")
    with tempfile.TemporaryDirectory() as folder:
        demo = subprocess.Popen(
            rater_command(
                "demo", "--path", f"{folder}/demo", "--port", str(port), "--kafka-port", "0",
                "--store-port", "0", "--history", "90d",
            )
        )  # fmt: skip
        try:
            base = f"http://127.0.0.1:{port}"
            wait_until_live(base)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
                for name, path, width, height in PICTURES:
                    page = browser.new_page(viewport={"width": width, "height": height})
                    take(page, f"{base}/accounts/acme{path}", IMAGES / f"{name}.png")
                page = browser.new_page(viewport={"width": 1280, "height": 620})
                page.goto(f"{base}/accounts/acme/activity?line=calls")
                page.locator(".events tbody a").first.click()
                page.screenshot(path=str(IMAGES / "event.png"))
                browser.close()
        finally:
            demo.terminate()
            demo.wait(60)


def take(page: Page, url: str, path: Path) -> None:
    page.goto(url)
    page.wait_for_timeout(1500)  # for the first numbers of the stream
    page.screenshot(path=str(path))
    page.close()


def wait_until_live(base: str) -> None:
    """Until all of the history is rated. Raises TimeoutError."""
    give_up_at = time.monotonic() + READY_S
    live_since = None
    while time.monotonic() < give_up_at:
        time.sleep(1)
        try:
            with urllib.request.urlopen(f"{base}/v1/accounts/acme/usage", timeout=10) as answer:
                state = json.load(answer)["freshness"]["state"]
        except OSError:
            continue
        if state != "live":
            live_since = None
        elif live_since is None:
            live_since = time.monotonic()
        elif time.monotonic() - live_since > 10:
            return
    raise TimeoutError("the demo's history was not rated in time")


if __name__ == "__main__":
    main()

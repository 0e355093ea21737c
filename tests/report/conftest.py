"""A page made once for the tests that read it, and a browser."""

import shutil

import pytest
from report_experiment import SPEC, make_experiment

from rtmri_speech.report.page import write_page

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--mute-audio",
    "--window-size=1280,900",
]


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Chromium without a screen, with its logs; skips the test if it is not installed."""
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    if not (CHROMIUM and DRIVER):
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def experiment(make_tiny_processed, tmp_path_factory):
    """Three test clips, three rows, in a directory with a Japanese name and a space."""
    return make_experiment(tmp_path_factory.mktemp("実験 report"), make_tiny_processed, SPEC)


@pytest.fixture(scope="session")
def page(experiment, tmp_path_factory):
    """The directory of its page."""
    directory = tmp_path_factory.mktemp("頁 page") / "report"
    write_page(directory, experiment)
    return directory

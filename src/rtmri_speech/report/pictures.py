"""Images for README: desktop and mobile screenshots of the page, and a clip's figure."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtmri_speech.atomic import replacing
from rtmri_speech.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

SCREENS = {"report_1280.png": (1280, 1180), "report_390.png": (390, 844)}
"""Width and height of the window, pixels, by file name."""

SAMPLE = "sample.jpg"
_SAMPLE_WIDTH = 1200

_BROWSERS = "chromium", "chromium-browser", "google-chrome"
_FLAGS = "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--mute-audio"

_READY = """const seen = (element) => element.checkVisibility() && element.getBoundingClientRect().top < innerHeight;
return document.readyState === 'complete'
    && [...document.images].filter(seen).every((image) => image.complete)
    && [...document.querySelectorAll('video')].filter(seen).every((video) => !video.seeking && video.readyState > 1)"""
_SEEK = """const position = document.getElementById('position');
position.value = 0.75 * position.max;
position.dispatchEvent(new Event('input'));"""
_PATIENCE = 30
"""Timeout for a page to load its images and videos, seconds."""


def page_pictures(page: str | Path, output: str | Path) -> list[Path]:
    """Write a screenshot of the page for each of `SCREENS` to ``output``; return the files.

    Raises
    ------
    UserError
        The page is missing, selenium or the browser is not installed, or the page does not load in time.
    """
    page, output = Path(page).absolute(), Path(output)
    if not page.is_file():
        raise UserError(page, "there is no such page", "make it first (snakemake)")
    made = []
    with _browser() as browser:
        for name, (width, height) in SCREENS.items():
            screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
            browser.get(page.as_uri())
            _wait(browser, page)
            browser.execute_script(_SEEK)
            _wait(browser, page)
            made.append(_written(output / name, browser.get_screenshot_as_png(), _paletted))
    return made


def sample_picture(figure: str | Path, output: str | Path) -> Path:
    """Write a clip's ``figure.png`` as `SAMPLE`, 1200 pixels wide, to ``output``; return the file.

    Raises
    ------
    UserError
        The figure is missing.
    """
    figure = Path(figure)
    if not figure.is_file():
        raise UserError(figure, "there is no such figure", "make the dataset first (snakemake dataset)")
    return _written(Path(output) / SAMPLE, figure.read_bytes(), _narrowed)


def _written(target: Path, picture: bytes, change: Callable[[Image], Image]) -> Path:
    # Pillow is a dependency of matplotlib.
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as opened, replacing(target) as temporary:
        # The temporary name has the target's suffix, which selects the format.
        change(opened.convert("RGB")).save(temporary, quality=88, optimize=True)
    return target


def _paletted(picture: Image) -> Image:
    return picture.quantize(256)


def _narrowed(picture: Image) -> Image:
    return picture.resize((_SAMPLE_WIDTH, round(_SAMPLE_WIDTH * picture.height / picture.width)))


@contextmanager
def _browser() -> Iterator[Any]:
    remedy = "install Chromium, chromedriver and the extra dev, or leave out --pictures"
    try:
        from selenium import webdriver
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        raise UserError("pictures", "need selenium, which is not installed", remedy) from None
    binary = next(filter(None, map(shutil.which, _BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        raise UserError("pictures", "need Chromium and chromedriver, which are not installed", remedy)
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in _FLAGS:
        options.add_argument(flag)
    try:
        browser = webdriver.Chrome(options=options, service=Service(driver))
    except WebDriverException as error:
        raise UserError(binary, f"does not start ({error.msg.splitlines()[0]})", remedy) from None
    try:
        yield browser
    finally:
        browser.quit()


def _wait(browser: Any, page: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while not browser.execute_script(_READY):
        if time.monotonic() > end:
            raise UserError(page, f"does not load its images and videos within {_PATIENCE} s", "make the page again")
        time.sleep(0.05)

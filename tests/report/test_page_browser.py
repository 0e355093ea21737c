"""The page in a real browser, from disk: playback, switching, sorting, cursor, and no network requests."""

import base64
import json
import shutil
import time
from urllib.parse import unquote

import pytest
from report_experiment import SPEC, made_up_scores

from rtmri_speech.report.page import page_data, render

pytestmark = pytest.mark.slow

POSITION = "return parseFloat(document.getElementById('time').textContent)"
CURSORS = "return [...document.querySelectorAll('.cursor')].map((cursor) => parseFloat(cursor.style.left))"
PRESSED = "return document.querySelector('#sources [aria-pressed=true]').dataset.source"
BARS = """return [...document.querySelectorAll('#scores tbody tr')].map(
    (row) => [...row.querySelectorAll('td')].map((cell) => cell.querySelector('.meter i')?.style.width ?? null))"""
SPANLESS = """return [...document.querySelectorAll('#scores th[data-measure]')].map(
    (head) => head.textContent.includes('no span'))"""
IDS = "return [...document.querySelectorAll('#clips .id')].map((id) => id.textContent)"


@pytest.fixture
def opened(browser, page):
    """The page, freshly opened; afterwards no error may stand in the console, and no request may have left the disk."""
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get((page / "index.html").as_uri())
    yield browser
    assert [entry["message"] for entry in browser.get_log("browser") if "film_" not in entry["message"]] == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert asked
    # Those of the browser's own first page are none of ours.
    ours = [url for url in asked if not url.startswith(("chrome:", "chrome-untrusted:", "data:"))]
    assert [url for url in ours if not url.startswith(page.as_uri())] == []


def press(browser, keys):
    browser.find_element("tag name", "body").send_keys(keys)


def wait_for(browser, script, *, seconds=10):
    end = time.monotonic() + seconds
    while not (found := browser.execute_script(f"return {script}")):
        assert time.monotonic() < end, script
        time.sleep(0.02)
    return found


def test_it_plays_and_switches_without_losing_its_place(opened):
    press(opened, " ")
    wait_for(opened, "parseFloat(document.getElementById('time').textContent) > 0.4")
    for key, source in (("3", "sequence"), ("2", "ceiling"), ("1", "original")):
        before = opened.execute_script(POSITION)
        press(opened, key)
        after = opened.execute_script(POSITION)
        assert opened.execute_script(PRESSED) == source
        # It plays on meanwhile, for longer on a busy machine.
        assert before <= after < before + 1.5
    was = opened.execute_script(POSITION)
    wait_for(opened, f"parseFloat(document.getElementById('time').textContent) > {min(was + 0.1, 1.9)}")
    press(opened, " ")
    assert opened.execute_script("return document.body.dataset.playing") == "false"
    stopped = opened.execute_script(POSITION)
    time.sleep(0.2)
    assert opened.execute_script(POSITION) == stopped
    press(opened, "2")
    assert opened.execute_script(POSITION) == stopped


def test_cursor_and_video_follow_the_sound(opened):
    press(opened, " ")
    wait_for(opened, "parseFloat(document.getElementById('time').textContent) > 0.3")
    shares = opened.execute_script(CURSORS)
    assert len(shares) == 3
    assert len(set(shares)) == 1
    assert shares[0] > 10
    wait_for(opened, "parseFloat(document.querySelector('.cursor').style.left) > 50")
    press(opened, " ")
    wait_for(opened, "!document.getElementById('video').seeking")
    place, picture = opened.execute_script(
        f"{POSITION.replace('return', 'return [')}, document.getElementById('video').currentTime]"
    )
    assert abs(place - picture) < 1.5 * 420 / 11413


def test_it_ends_at_the_end_and_begins_again(opened):
    for _ in range(12):
        press(opened, "\ue014")  # arrow right
    press(opened, "\ue012")  # arrow left
    press(opened, " ")
    wait_for(opened, "document.body.dataset.playing === 'false'")
    assert opened.execute_script(CURSORS)[0] == pytest.approx(100, abs=0.5)
    press(opened, " ")
    wait_for(opened, "document.body.dataset.playing === 'true'")
    assert opened.execute_script(POSITION) < 1
    press(opened, " ")


def test_arrows_and_clicks_seek(opened):
    press(opened, "\ue014")
    press(opened, "\ue014")
    assert opened.execute_script(POSITION) == pytest.approx(0.5)
    press(opened, "\ue012")
    assert opened.execute_script(POSITION) == pytest.approx(0.25)
    from selenium.webdriver import ActionChains

    graph = opened.find_elements("css selector", ".graph")[1]
    ActionChains(opened).move_to_element(graph).click().perform()
    assert opened.execute_script(PRESSED) == "ceiling"
    assert opened.execute_script(CURSORS)[0] == pytest.approx(50, abs=1)


def test_clips_sort_by_any_metric_the_worst_first(opened, experiment):
    scores = json.loads((experiment.evaluation / "scores.json").read_text())["rows"]["sequence"]["clips"]
    known = {id: values["estoi"] for id, values in scores.items() if values["estoi"] is not None}
    # The one without a value comes last.
    assert opened.execute_script(IDS) == [*sorted(known, key=known.get), "a2"]
    opened.execute_script("document.querySelector('th[data-measure=mel_mse] button').click()")
    worst = sorted(scores, key=lambda id: -scores[id]["mel_mse"])
    assert opened.execute_script(IDS) == worst
    opened.find_element("id", "direction").click()
    assert opened.execute_script(IDS) == worst[::-1]
    opened.find_element("id", "direction").click()
    from selenium.webdriver.support.ui import Select

    Select(opened.find_element("id", "sort")).select_by_value("lag_ms")
    assert opened.execute_script(IDS) == sorted(scores, key=lambda id: -abs(scores[id]["lag_ms"]))
    opened.find_elements("css selector", "#clips button")[0].send_keys("\ue015")  # arrow down
    title = opened.find_element("id", "clip-title").text
    assert title == opened.execute_script(IDS)[opened.execute_script(IDS).index(title)]
    assert opened.execute_script("return document.querySelector('#clips [aria-current=true] .id').textContent") == title


HEARD = "return [...document.querySelectorAll('button.hear[data-heard=true]')].map((one) => one.dataset.source)"
GRID_CLIPS = "return [...document.querySelectorAll('#grid tbody th')].map((head) => head.textContent)"


def test_the_grid_plays_any_clip_by_any_system(opened, page):
    opened.execute_script("document.getElementById('grid-section').scrollIntoView()")
    wait_for(opened, "document.querySelectorAll('#grid tbody tr').length === 3")
    order = opened.execute_script(IDS)
    assert opened.execute_script(GRID_CLIPS) == order
    assert opened.execute_script("return document.querySelectorAll('#grid td button').length") == 3 * 4
    third = opened.find_elements("css selector", "#grid tbody tr")[2]
    third.find_element("css selector", "[data-source=floor]").click()
    wait_for(opened, "parseFloat(document.getElementById('time').textContent) > 0.1")
    assert opened.find_element("id", "clip-title").text == order[2]
    assert opened.execute_script(PRESSED) == "floor"
    # The button in the table of scores is of the same clip and system.
    assert opened.execute_script(HEARD) == ["floor", "floor"]
    third.find_element("css selector", "[data-source=floor]").click()
    assert opened.execute_script("return document.body.dataset.playing") == "false"
    assert opened.execute_script(HEARD) == []


def test_rows_of_the_scores_play_the_clip(opened):
    title = opened.find_element("id", "clip-title").text
    opened.find_element("css selector", "#scores [data-source=ceiling]").click()
    wait_for(opened, "document.body.dataset.playing === 'true'")
    assert (opened.find_element("id", "clip-title").text, opened.execute_script(PRESSED)) == (title, "ceiling")
    press(opened, " ")


LAYER = "return document.querySelector('.graph .layer').getBoundingClientRect().toJSON()"
WINDOW = "return document.querySelector('.graph .window').getBoundingClientRect().toJSON()"


def test_zoom_widens_the_pictures_and_follows_the_cursor(opened):
    assert opened.execute_script(LAYER)["width"] == opened.execute_script(WINDOW)["width"]
    press(opened, "+")
    opened.find_element("id", "zoom-in").click()
    layer, window = opened.execute_script(LAYER), opened.execute_script(WINDOW)
    assert layer["width"] == pytest.approx(4 * window["width"], rel=1e-3)
    for _ in range(6):
        press(opened, "\ue014")
    layer, window = opened.execute_script(LAYER), opened.execute_script(WINDOW)
    seconds = opened.execute_script("return parseFloat(document.getElementById('time').textContent.split('/')[1])")
    cursor = layer["x"] + layer["width"] * 1.5 / seconds
    assert window["x"] <= cursor <= window["right"]
    # A click is where the zoomed picture says.
    from selenium.webdriver import ActionChains

    graph = opened.find_elements("css selector", ".graph")[0]
    ActionChains(opened).move_to_element(graph).click().perform()
    middle = (window["x"] + window["width"] / 2 - layer["x"]) / layer["width"] * seconds
    assert opened.execute_script(POSITION) == pytest.approx(middle, abs=0.02)
    press(opened, "-")
    press(opened, "-")
    assert opened.execute_script(LAYER)["width"] == opened.execute_script(WINDOW)["width"]


def test_each_clip_has_an_address_and_downloads(opened, page):
    opened.execute_script("document.querySelector('#clips [data-place=\"0\"]').click()")
    address = opened.current_url
    assert address.endswith("#a2")
    files = "return [...document.querySelectorAll('#downloads a')].map((a) => [a.getAttribute('href'), a.download])"
    for file, name in opened.execute_script(files):
        assert (page / file).is_file() and name.startswith("a2_")
    opened.get("about:blank")
    opened.get(address)
    assert opened.find_element("id", "clip-title").text == "a2"
    opened.execute_script("location.hash = 'a4'")
    wait_for(opened, "document.getElementById('clip-title').textContent === 'a4'")


def test_it_prints_without_its_controls(opened):
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    hidden = ["#play", "#sources", "#clips", "#grid", ".cursor", "#zoom-in"]
    for control in hidden:
        assert not opened.find_element("css selector", control).is_displayed(), control
    for content in ("#clip-title", ".graph img", "#scores", "#clip-scores", ".plots img"):
        assert opened.find_element("css selector", content).is_displayed(), content
    pages = opened.execute_cdp_cmd("Page.printToPDF", {})["data"]
    assert base64.b64decode(pages).startswith(b"%PDF")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_text_is_shown_and_not_executed(opened):
    opened.execute_script("document.querySelector('#clips [data-place=\"0\"]').click()")
    assert opened.find_element("id", "transcript").text == 'she said </script><b>"&amp;'
    assert opened.find_element("id", "film-figure").is_displayed()
    assert opened.find_element("id", "map-title").text == "Grad-CAM"
    opened.execute_script("document.querySelector('#clips [data-place=\"1\"]').click()")
    assert not opened.find_element("id", "film-figure").is_displayed()


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window(opened, width):
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert opened.execute_script("return document.documentElement.scrollWidth") == width
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_five_hundred_clips_open_without_delay(browser, page, experiment, tmp_path):
    ids = [f"{number:03d}" for number in range(500)]
    rows = ["sequence", "window", "causal", "floor", "look_up", "ceiling", "griffin_lim"]
    scores = made_up_scores(ids, SPEC, rows=rows)
    clips = [{"id": id, "title": id, "seconds": 2.0, "text": "words that were said"} for id in ids]
    shutil.copytree(page / "figures", tmp_path / "figures")
    # Only the clip that is looked at is ever asked for.
    data = page_data(scores, ["ceiling", *rows[:-2]], clips, SPEC)
    first = browser_first(data)
    shutil.copytree(page / "media" / "a2", tmp_path / "media" / first)
    for row in rows:
        for kind in ("wav", "png"):
            shutil.copy(page / "media" / "a2" / f"original.{kind}", tmp_path / "media" / first / f"{row}.{kind}")
    plots = {path.stem.removesuffix("_light"): "a plot" for path in (tmp_path / "figures").glob("*_light.png")}
    (tmp_path / "index.html").write_text(render(data, plots, experiment, scores), encoding="utf-8")
    browser.get_log("performance")
    begin = time.monotonic()
    browser.get((tmp_path / "index.html").as_uri())
    wait_for(browser, "document.querySelectorAll('#clips button').length === 500")
    assert time.monotonic() - begin < 3
    time.sleep(0.3)
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [unquote(m["params"]["request"]["url"]) for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert {url.split("/media/")[1].split("/")[0] for url in asked if "/media/" in url} == {first}
    browser.execute_script("document.getElementById('sort').value = 'mel_mse'")
    begin = time.monotonic()
    browser.execute_script("document.getElementById('direction').click()")
    assert time.monotonic() - begin < 1


def test_bars_are_drawn_where_there_is_a_span(browser, page, experiment, tmp_path):
    scores = made_up_scores(["a2", "a3", "a4"], SPEC)
    for name, ends in {"estoi": (0.5, 0.1, 0.9), "mel_mse": (0.5, 0.2, 0.89)}.items():
        for row, mean in zip(scores["rows"].values(), ends, strict=True):
            row["summary"][name] |= dict.fromkeys(("mean", "low", "high"), mean)
    shutil.copytree(page, tmp_path / "page")
    clips = [{"id": id, "title": id, "seconds": 2.0} for id in scores["clips"]]
    data = page_data(scores, list(scores["rows"]), clips, SPEC)
    plots = {path.stem.removesuffix("_light"): "a plot" for path in (page / "figures").glob("*_light.png")}
    path = tmp_path / "page" / "index.html"
    path.write_text(render(data, plots, experiment, scores), encoding="utf-8")
    browser.get(path.as_uri())
    assert browser.execute_script(BARS) == [["50%", None, None], ["0%", None, None], ["100%", None, None]]
    assert browser.execute_script(SPANLESS) == [False, True, False]


def browser_first(data):
    """The clip that the page shows first: the worst by its first measure."""
    values = [clip["scores"][data["configured"]][0] for clip in data["clips"]]
    return min((value, clip["id"]) for value, clip in zip(values, data["clips"], strict=True) if value is not None)[1]

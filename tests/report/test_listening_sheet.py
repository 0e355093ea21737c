"""A listening test hides its systems, has equal levels, and gives answers that can be counted."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.listening import count_answers, read_key
from rtmri_speech.report.listening import write_listening_test
from rtmri_speech.signal.audio import read_audio, write_wav

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "make_listening_test.py"
RATE, TONE = 8000, 1920
"""Twelve frames of 20 ms."""


@pytest.fixture
def systems(tmp_path):
    """Tones of two systems, one a tenth as loud, with a pause."""
    time = np.arange(TONE) / RATE
    for name, level in (("recording", 0.5), ("mine", 0.05)):
        for number, id in enumerate(("a", "b", "c")):
            tone = level * np.sin(2 * np.pi * (300 + 50 * number) * time)
            (tmp_path / name).mkdir(exist_ok=True)
            write_wav(tmp_path / name / f"{id}.wav", np.append(tone, np.zeros(RATE // 8)), RATE)
    return {"recording": tmp_path / "recording", "mine": tmp_path / "mine"}


def made(output, systems, kind, seed=1):
    write_listening_test(output, systems, ["a", "b", "c"], kind=kind, seed=seed, sampling_rate=RATE)
    html = (output / "sheet" / "index.html").read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*)</script>', html)[1]), html


def test_the_sheet_does_not_tell_systems_or_clips(systems, tmp_path):
    data, html = made(tmp_path / "test", systems, "mos")
    with (tmp_path / "test" / "key.csv").open() as file:
        key = list(csv.DictReader(file))
    assert sorted(code for (code,) in data["trials"]) == sorted(row["code"] for row in key)
    assert data["trials"] != [[row["code"]] for row in key]
    assert {(row["system"], row["clip"]) for row in key} == {(s, id) for s in systems for id in "abc"}
    sheet = tmp_path / "test" / "sheet"
    assert {path.stem for path in (sheet / "sounds").iterdir()} == {row["code"] for row in key}
    assert "recording" not in html and "mine" not in html
    assert not re.search(r"https?://", html)


def test_the_speech_of_every_sound_has_one_level(systems, tmp_path):
    made(tmp_path / "test", systems, "mos")
    for path in (tmp_path / "test" / "sheet" / "sounds").iterdir():
        speech = read_audio(path, sampling_rate=RATE)[:TONE]
        assert 20 * np.log10(np.sqrt(np.mean(speech**2))) == pytest.approx(-26, abs=0.1)


def test_pairs_are_of_one_clip_and_the_seed_decides_names_and_order(systems, tmp_path):
    data, _ = made(tmp_path / "test", systems, "ab")
    with (tmp_path / "test" / "key.csv").open() as file:
        clips = {row["code"]: row["clip"] for row in csv.DictReader(file)}
    assert [clips[first] == clips[second] for first, second in data["trials"]] == [True] * 3
    assert made(tmp_path / "again", systems, "ab")[0] == data
    assert made(tmp_path / "other", systems, "ab", seed=2)[0]["trials"] != data["trials"]


def test_bad_sounds_are_refused(systems, tmp_path):
    write_wav(systems["mine"] / "b.wav", np.zeros(RATE), RATE)
    with pytest.raises(UserError, match=r"b\.wav: is silent"):
        made(tmp_path / "test", systems, "mos")
    with pytest.raises(UserError, match="a preference needs two"):
        made(tmp_path / "test", {"mine": systems["mine"]}, "ab")
    (tmp_path / "empty").mkdir()
    words = ["--sounds", f"a={systems['mine']}", f"b={tmp_path / 'empty'}", "--output_dir", tmp_path / "test"]
    run = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True)
    assert run.returncode == 2 and "--sounds: have no clip in common" in run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mos", "ab"])
def test_a_listener_answers_in_a_browser(browser, systems, tmp_path, kind):
    from selenium.webdriver.support.ui import WebDriverWait

    wait = WebDriverWait(browser, 10)
    data, _ = made(tmp_path / "test", systems, kind)
    browser.get_log("browser")
    browser.get((tmp_path / "test" / "sheet" / "index.html").as_uri())
    browser.find_element("id", "listener").send_keys('山根, "1"')
    browser.find_element("css selector", "#who button").click()
    for number in range(len(data["trials"])):
        assert f"{number + 1} / {len(data['trials'])}" == browser.find_element("id", "count").text
        answer = browser.find_element("css selector", "#answers button")
        assert not answer.is_enabled(), "answered before it was heard"
        for button in browser.find_elements("css selector", "#sounds button"):
            button.click()
            wait.until(lambda _, button=button: button.get_attribute("aria-pressed") == "false")
        wait.until(lambda _, answer=answer: answer.is_enabled())
        answer.click()
        browser.find_element("id", "next").click()
    link = browser.find_element("id", "download")
    assert link.get_attribute("download") == "answers_山根___1_.csv"
    text = browser.execute_async_script(
        "const done = arguments[0]; fetch(document.getElementById('download').href).then((r) => r.text()).then(done)"
    )
    (tmp_path / "answers.csv").write_text(text, encoding="utf-8")
    results = count_answers(read_key(tmp_path / "test" / "key.csv"), [tmp_path / "answers.csv"])
    assert sum(one.answers for one in results) == len(data["trials"])
    if kind == "mos":
        assert {one.mean for one in results} == {1.0}
    # A reload goes on at the end; the answers were kept.
    browser.refresh()
    browser.find_element("id", "listener").send_keys('山根, "1"')
    browser.find_element("css selector", "#who button").click()
    assert browser.find_element("id", "end").is_displayed()
    assert browser.get_log("browser") == []

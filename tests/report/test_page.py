"""The page contains the scores, refers only to files beside it, and escapes all data."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from report_experiment import HOSTILE, METRICS, ROWS

from rtmri_speech.dataset.tiers import read_tiers
from rtmri_speech.errors import UserError
from rtmri_speech.report.measures import MEASURES
from rtmri_speech.report.page import read_settings, write_page
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.video import probe, read_frames


class Elements(HTMLParser):
    """Tags with their attributes, and the text of the data's script."""

    def __init__(self, text):
        super().__init__()
        self.found, self.data, self._inside = [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("id") == "data"

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        self.data += data if self._inside else ""


@pytest.fixture(scope="module")
def html(page):
    return (page / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def data(html):
    return json.loads(Elements(html).data)


def test_the_embedded_data_are_the_scores(data, experiment):
    scores = json.loads((experiment.evaluation / "scores.json").read_text())
    names = [measure["name"] for measure in data["measures"]]
    assert set(names) == set(METRICS)
    for row in data["rows"]:
        for name, shown in zip(names, row["summary"], strict=True):
            kept = scores["rows"][row["name"]]["summary"][name]
            assert shown == pytest.approx([kept["mean"], kept["low"], kept["high"], kept["n"]], rel=1e-4)
    for clip in data["clips"]:
        for row in ROWS:
            kept = scores["rows"][row]["clips"][clip["id"]]
            for name, value in zip(names, clip["scores"][row], strict=True):
                assert value == (None if kept[name] is None else pytest.approx(kept[name], rel=1e-4))


def test_the_sounds_come_in_the_order_of_the_keys(data):
    assert [source["name"] for source in data["sources"]] == ["original", "ceiling", "sequence", "floor"]


def test_the_page_refers_only_to_files_beside_it(page, html, data, experiment):
    for clip in data["clips"]:
        media = page / "media" / clip["id"]
        expected = {"video.mp4"} | {f"{s['name']}.{kind}" for s in data["sources"] for kind in ("wav", "png")}
        expected |= {name for name, _ in clip.get("films", [])} | {f"{name}.svg" for name in data["tracks"]}
        expected |= {"phones.TextGrid"} if "phonemes" in clip else set()
        assert {path.name for path in media.iterdir()} == expected
    assert (page / data["table"]).read_bytes() == (experiment.evaluation / "scores.csv").read_bytes()
    for tag, attributes in Elements(html).found:
        for key in ("src", "srcset", "href"):
            if attributes.get(key) and not attributes[key].startswith("data:"):
                assert (page / attributes[key]).is_file(), f"{tag} {key}"
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r"// .*", "", html))


def test_phonemes_are_offered_as_a_textgrid(page, data):
    tiers = read_tiers(page / "media" / "a2" / "phones.TextGrid")
    seconds = data["clips"][0]["seconds"]
    assert [(label.text, label.start, label.end) for label in tiers["phones"]] == [
        ("a", 0, 0.9),
        ("", 0.9, pytest.approx(seconds, abs=1e-3)),
    ]


def test_f0_and_formants_lie_over_the_mels_that_are_always_shown(page, data):
    assert data["tracks"] == ["original", "ceiling", "sequence"]
    drawn = ElementTree.parse(page / "media" / "a2" / "original.svg").getroot()
    # One unit per frame, like the pixels of the mel.
    assert drawn.attrib["viewBox"] == "0 0 54 100"
    assert len(drawn) == 2


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ([], "its content"),
        ({"explain": None}, "explain is None"),
        ({"explain": {"method": ["gradcam"]}}, "explain.method is"),
    ],
)
def test_settings_that_are_not_a_configurations_are_refused(tmp_path, settings, fault):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(UserError, match=rf"settings\.json: {fault}"):
        read_settings(path)


def test_average_maps_are_shown_with_their_phonemes(experiment, tmp_path):
    gradcam = tmp_path / "gradcam"
    shutil.copytree(experiment.films, gradcam)
    facts = {"phonemes": [{"phoneme": "<a>", "frames": 3}, {"phoneme": "m", "frames": 1}]}
    (gradcam / "aggregate").mkdir()
    (gradcam / "aggregate" / "aggregate.json").write_text(json.dumps({"bands": {"F1": facts}}))
    for kind in ("average", "phonemes"):
        (gradcam / "aggregate" / f"{kind}_F1.png").write_bytes(b"a picture")
    told = replace(experiment, films=gradcam, settings={"explain": {"method": "occlusion"}})
    write_page(tmp_path / "page", told)
    text = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert (tmp_path / "page" / "figures" / "gradcam_phonemes_F1.png").read_bytes() == b"a picture"
    assert "Occlusion: average by formant band" in text and '"map_title":"Occlusion"' in text
    assert "&lt;a&gt; · 3 frames" in text and "m · 1 frames" in text
    assert "background-size: 200% 100%; background-position: 100% 0%" in text
    (gradcam / "aggregate" / "aggregate.json").write_text("[]")
    with pytest.raises(UserError, match=r"aggregate\.json"):
        write_page(tmp_path / "page", told)


def test_media_are_those_of_the_clip(page, experiment):
    media = page / "media" / "a3"
    assert (media / "ceiling.wav").read_bytes() == (experiment.evaluation / "sounds/ceiling/a3.wav").read_bytes()
    assert (media / "original.wav").read_bytes() == (experiment.processed_dir / "wavs/a3.wav").read_bytes()
    stored = np.load(experiment.processed_dir / "samples/a3/mri.npy")
    frames = np.stack(list(read_frames(media / "video.mp4")))
    assert probe(media / "video.mp4").rate == pytest.approx(11413 / 420)
    assert np.abs(frames.astype(int) - stored).mean() < 4
    assert (page / "media/a2/film_gradcam_F1_overlay.mp4").read_bytes() == b"no film, but a file"


def test_mel_pictures_share_a_scale_and_stand_upright(page, experiment):
    import librosa

    audio = read_audio(experiment.processed_dir / "wavs/a2.wav", sampling_rate=11413)
    picture = cv2.imread(str(page / "media/a2/original.png")).astype(int).sum(axis=2)
    assert picture.shape == (12, 54)
    padded = np.pad(audio, (512 - 420) // 2, mode="reflect")
    mel = librosa.feature.melspectrogram(
        y=padded, sr=11413, n_fft=512, hop_length=420, n_mels=12, power=1, center=False
    )
    # A colour map that rises in brightness keeps the order of levels.
    assert np.corrcoef(picture[::-1].ravel(), np.log(mel[:, :54]).ravel())[0, 1] > 0.9


def test_text_and_phonemes_are_shown_unchanged(html, data):
    clip = data["clips"][0]
    assert clip["text"] == HOSTILE
    assert clip["phonemes"] == [["a", 0, 0.9], ["", 0.9, 2]]
    assert "</script><b>" not in html
    assert "text" not in data["clips"][1]
    assert "&lt;i&gt;名前&lt;/i&gt;" in html


def test_the_page_shows_its_provenance(html):
    for fact in ("3 test clips, 5.9 s", "trained on 1 clips", "commit", "g_00000100", "2.00 hours (7200 s)", "cores"):
        assert fact in html


def test_the_page_explains_the_metrics_and_their_limits(html, data):
    assert "F0 sought from 77 to 170 Hz" in html
    for measure in data["measures"]:
        assert f"<dt>{measure['title']}" in html
        assert measure["meaning"] in html
    assert all(measure.doubt for measure in MEASURES if measure.main)


def test_a_harmful_vocoder_is_reported(experiment, tmp_path):
    evaluation = tmp_path / "evaluation"
    shutil.copytree(experiment.evaluation, evaluation)
    told = replace(experiment, evaluation=evaluation)
    (evaluation / "copy_synthesis.json").write_text(json.dumps({"verdict": "The vocoder <g> does harm."}))
    write_page(tmp_path / "page", told)
    assert "The vocoder &lt;g&gt; does harm." in (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    (evaluation / "copy_synthesis.json").write_text(json.dumps({"verdict": None}))
    write_page(tmp_path / "page", told)
    assert "does harm" not in (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    (evaluation / "copy_synthesis.json").write_text("[]")
    with pytest.raises(UserError, match="copy_synthesis"):
        write_page(tmp_path / "page", told)


def test_intelligibility_is_on_the_page(experiment, html, tmp_path):
    assert "name a Whisper model on this machine (evaluation.asr)" in html
    evaluation = tmp_path / "evaluation"
    shutil.copytree(experiment.evaluation, evaluation)
    summary = {"phoneme_error": {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 3}}
    found = {
        "language": "en",
        "model": "a <model>",
        "against": {"transcript": ["a2", "a3", "a4"], "recognised_recording": []},
        "left_out": {"too_short": [], "unknown_words": {"blurgh": 2}},
        "rows": {"chance": {"title": "Chance", "summary": summary, "cpu_seconds": None}},
    }
    (evaluation / "intelligibility.json").write_text(json.dumps(found))
    write_page(tmp_path / "page", replace(experiment, evaluation=evaluation))
    text = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert '<th scope="row">Chance</th><td>0.50 (0.40 – 0.60)</td><td>–</td>' in text
    assert "Recognised by a &lt;model&gt;, language en. 2 words are missing from the dictionary" in text
    assert "(evaluation.asr)" not in text.partition("All settings")[0]
    found["rows"]["chance"]["summary"] = []
    (evaluation / "intelligibility.json").write_text(json.dumps(found))
    with pytest.raises(UserError, match="holds no scores of intelligibility"):
        write_page(tmp_path / "page", replace(experiment, evaluation=evaluation))


def test_two_pages_of_one_experiment_have_the_same_media(page, experiment, tmp_path):
    write_page(tmp_path, experiment)
    for path in [*page.rglob("*.png"), *page.rglob("*.mp4"), *page.rglob("*.wav")]:
        assert (tmp_path / path.relative_to(page)).read_bytes() == path.read_bytes(), path.name


def test_missing_scores_and_sounds_are_reported(experiment, tmp_path):
    with pytest.raises(UserError, match=r"scores\.json: there is no such file; score the test clips first"):
        write_page(tmp_path, replace(experiment, evaluation=tmp_path))
    copy = tmp_path / "evaluation"
    shutil.copytree(experiment.evaluation, copy)
    (copy / "sounds" / "floor" / "a4.wav").unlink()
    with pytest.raises(UserError, match=r"a4\.wav"):
        write_page(tmp_path / "page", replace(experiment, evaluation=copy))
    (copy / "scores.json").write_text("[]")
    with pytest.raises(UserError, match="holds no scores of systems"):
        write_page(tmp_path / "page", replace(experiment, evaluation=copy))

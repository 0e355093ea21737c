"""The configuration is checked before any work, and a refusal names the key, the value and what is allowed."""

import datetime
import unicodedata
from pathlib import Path

import jsonschema
import pytest
import yaml

from rtmri_speech.configuration import load_configuration, takeover_notes
from rtmri_speech.errors import UserError
from rtmri_speech.preflight import check_named
from rtmri_speech.settings.data import Named, Split
from rtmri_speech.settings.schema import schema_text
from rtmri_speech.signal.mel import MelSpec

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["config", "full_size", "lab", "small"])
def test_the_configurations_of_the_project_are_valid(name):
    settings = yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert load_configuration(settings).mel.hop_length == 420


def test_griffin_lim_needs_no_vocoder_of_the_mel():
    """A small configuration with the mel of a corpus' own frame rate, 83.28 frames per second."""
    settings = yaml.safe_load((ROOT / "config" / "small.yaml").read_text(encoding="utf-8"))
    own = {**settings, "mel": {"sampling_rate": 19987, "hop_length": 240, "n_fft": 1024}}
    check_named(load_configuration(own), ROOT, [])
    with pytest.raises(UserError, match="its mel differs from that of the dataset"):
        check_named(load_configuration({**own, "synthesis": {}}), ROOT, [])


def test_a_given_vocoder_may_have_another_frame_rate_and_no_other_window():
    settings = yaml.safe_load((ROOT / "config" / "small.yaml").read_text(encoding="utf-8"))
    (base,) = (ROOT / "models" / "base_vocoder").glob("g_*")
    given = {**settings, "synthesis": {"hifigan_checkpoint": str(base)}}
    check_named(load_configuration({**given, "mel": {"sampling_rate": 11409, "hop_length": 137}}), ROOT, [])
    with pytest.raises(UserError, match=r"n_fft 2048 against 1024.*sampling_rate: 11413, hop_length: 137"):
        check_named(load_configuration({**given, "mel": {"hop_length": 137, "n_fft": 1024}}), ROOT, [])


def test_defaults_are_filled_in_at_every_depth():
    complete = load_configuration({"mel": {"n_mels": 80}})
    assert complete.mel.n_mels == 80
    assert complete.mel.sampling_rate == 11413
    assert complete.split == Split(seed=42, validation=0.1, test=0.1, named=Named((), (), ()))


@pytest.mark.parametrize(
    ("settings", "key", "told"),
    [
        ({"mell": {}}, "configuration", "'mell'"),
        ({"mel": {"n_mells": 64}}, "mel", "'n_mells'"),
        ({"mel": {"n_mels": 0}}, "mel.n_mels", "at least 1"),
        ({"mel": {"fmax": 8000}}, "mel.fmax", "5706.5"),
        ({"mel": {"fmin": 6000}}, "mel.fmin", "below fmax"),
        ({"mel": {"win_length": 4096}}, "mel.win_length", "at most n_fft = 2048"),
        ({"mel": {"preset": "htk"}}, "mel.preset", "hifigan, lab"),
        ({"bands": {"F7": [5800, 6500]}}, "bands.F7", "0 to 5706.5 Hz"),
        ({"bands": {"F1": [300, 301]}}, "band 300-301 Hz", "nearest filter"),
        ({"split": {"named": {"test": ["../x"]}}}, "split.named.test.0", "'../x'"),
        ({"split": {"named": {"test": [0]}}}, "split.named.test.0", "in quotes"),
        ({"corpus": {"source": "table"}}, "corpus.table", "is empty"),
        ({"video": {"resampling": "linear"}}, "video.resampling", "refuse, nearest, mean"),
        ({"audio": {"gain": 0}}, "audio.gain", "more than 0"),
        ({"results": 3}, "results", "is 3; give a path"),
        ({"vocoder": {"bf16": "perhaps"}}, "vocoder.bf16", "is 'perhaps'; give true or false"),
        ({"acoustic": {"loss": {"delta": [0.3]}}}, "acoustic.loss.delta", "a list of 2, each a number of at least 0"),
        ({"bands": {"F 1": [300, 900]}}, "bands.F 1", "give a name of letters"),
        ({"pack": {"licence": datetime.date(2026, 1, 1)}}, "pack.licence", "in quotes"),
        ({"acoustic": {3: 4}}, "acoustic", "unknown setting 3"),
    ],
)
def test_a_wrong_value_is_refused_by_name(settings, key, told):
    with pytest.raises(UserError) as refusal:
        load_configuration(settings)
    assert refusal.value.subject == key
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_schema_for_editors_is_that_of_the_settings():
    assert (ROOT / "config" / "schema.yaml").read_text(encoding="utf-8") == schema_text()


def test_the_schema_takes_the_configurations_of_the_project_and_refuses_others():
    validator = jsonschema.Draft202012Validator(yaml.safe_load(schema_text()))
    for name in ("config", "full_size", "lab", "small"):
        validator.validate(yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8")))
    for wrong in (
        {"mell": {}},
        {"mel": {"n_mels": 0}},
        {"bands": {"F 1": [1, 2]}},
        {"synthesis": {"masks": {"x": {"a": 1}}}},
    ):
        assert not validator.is_valid(wrong)


def test_every_setting_has_a_description_and_a_default():
    def bare(rules, key):
        for name, rule in rules["properties"].items():
            if "properties" in rule:
                yield from bare(rule, f"{key}.{name}")
            if "description" not in rule or ("default" not in rule and "properties" not in rule):
                yield f"{key}.{name}"

    assert list(bare(yaml.safe_load(schema_text()), "")) == []


def test_numbers_given_as_text_on_the_command_line_are_read():
    text = {"acoustic": {"cnn_pretrained": "false"}, "vocoder": {"base": "null"}}
    complete = load_configuration(text)
    assert complete.acoustic.cnn_pretrained is False and complete.vocoder.base is None
    assert load_configuration({"acoustic": {"cnn_pretrained": "b2.pth"}}).acoustic.cnn_pretrained == Path("b2.pth")
    text = {"mel": {"n_mels": "80", "fmax": "null"}, "bands": {"F1": ["300", "900"]}, "results": "1"}
    complete = load_configuration(text)
    assert (complete.mel.n_mels, complete.mel.fmax, complete.results) == (80, None, Path("1"))
    assert complete.bands == {"F1": (300, 900)}


def test_the_lab_preset_comes_with_its_conventions():
    spec = MelSpec.of(load_configuration({"mel": {"preset": "lab"}}).mel)
    assert (spec.power, spec.preemphasis, spec.alignment) == (2, 0.97, "start")


LAB = {
    "corpus": {"source": "lab", "videos": r"C:\研究用\normalized_videos", "audio": "C:/研究用/audio_wav"},
    "lab": {"processed": r"C:\hifi-gan\dataset", "mri_checkpoint": "m.pt", "hifigan_checkpoint": "v/g_00330000"},
}


def of_lab(**lab):
    return load_configuration({**LAB, "lab": {**LAB["lab"], **lab}})


def test_a_labs_models_are_used_as_they_are():
    settings = of_lab()
    assert settings.mel.preset == "lab"
    assert settings.synthesis.mri_checkpoint == Path("m.pt")
    assert settings.synthesis.scaler_json.name == "scaler.json"
    assert settings.synthesis.hifigan_checkpoint == Path("v/g_00330000")
    assert (settings.acoustic.resume_ckpt, settings.vocoder.base) == (None, None)


def test_a_labs_models_are_trained_further_where_they_are_named():
    settings = of_lab(train_on=["acoustic", "vocoder"])
    assert settings.acoustic.resume_ckpt == Path("m.pt") and settings.vocoder.base == Path("v/g_00330000")
    assert settings.vocoder.config == Path("v/config.json")
    assert (settings.synthesis.mri_checkpoint, settings.synthesis.hifigan_checkpoint) == (None, None)
    notes = takeover_notes(settings)
    assert "The mel generator must be trained (train_acoustic), on from m.pt." in notes
    assert "The vocoder must be trained (fine_tune_vocoder), on from v/g_00330000." in notes


def test_the_fixed_conventions_use_nothing_but_the_recordings():
    settings = of_lab(conventions="fixed", train_on=["vocoder"])
    assert settings.mel.preset == "hifigan" and settings.vocoder.base is None
    assert settings.synthesis.mri_checkpoint is None and settings.acoustic.resume_ckpt is None
    assert settings.vocoder.config == Path("config/hifigan_v1_11413.json")
    assert takeover_notes(load_configuration({})) == []


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"corpus": {**LAB["corpus"], "audio": None}}, "corpus.audio"),
        ({"lab": {**LAB["lab"], "processed": None}}, "lab.processed"),
        ({"lab": {**LAB["lab"], "mri_checkpoint": None, "train_on": ["acoustic"]}}, "lab.train_on"),
        ({"mel": {"preset": "hifigan"}}, "mel.preset"),
        ({"mel": {"preset": "lab"}, "lab": {**LAB["lab"], "conventions": "fixed"}}, "mel.preset"),
    ],
)
def test_settings_that_contradict_a_lab_are_refused_by_name(settings, key):
    with pytest.raises(UserError) as refusal:
        load_configuration({**LAB, **settings})
    assert refusal.value.subject == key


@pytest.mark.parametrize(
    ("written", "meant"),
    [("1e-4", 1e-4), ("5E-3", 5e-3), ("2.5e-4", 2.5e-4), (1e-4, 1e-4), ("0.001", 0.001)],
)
def test_a_number_with_an_exponent_is_a_number(written, meant):
    assert load_configuration({"acoustic": {"lr": written}}).acoustic.lr == meant


def test_a_whole_number_is_an_integer_in_any_notation():
    acoustic = load_configuration({"acoustic": {"epochs": 100.0, "batch_size": "1e1"}}).acoustic
    assert (repr(acoustic.epochs), repr(acoustic.batch_size)) == ("100", "10")


def test_text_is_read_where_a_list_of_values_or_a_definition_is_given():
    text = {"acoustic": {"output_stride": "16", "loss": {"delta": ["0.3", "0.4"], "bands": {"f0": ["0", "2.0"]}}}}
    acoustic = load_configuration(text).acoustic
    assert acoustic.output_stride == 16 and acoustic.loss.delta == (0.3, 0.4)
    assert acoustic.loss.bands == {"f0": (0, 2.0)}
    assert load_configuration({"acoustic": {"output_stride": "null"}}).acoustic.output_stride is None
    with pytest.raises(UserError, match="one of 8, 16, 32"):
        load_configuration({"acoustic": {"output_stride": "12"}})


@pytest.mark.parametrize("key", ["results", "dataset"])
def test_a_tilde_is_the_home_directory(key, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert getattr(load_configuration({key: "~/r"}), key) == tmp_path / "r"


@pytest.mark.parametrize(
    ("text", "key", "told"),
    [
        ('corpus: {source: directories, videos: "D:\\rtMRI\\videos"}', "corpus.videos", "control character"),
        ('lab: {processed: "C:\\new"}', "lab.processed", "control character"),
        ('synthesis: {masks: {x: {polygons: "C:\\tmp\\new.json"}}}', "synthesis.masks.x.polygons", "control character"),
        ('results: "r{x}"', "results", "wildcards"),
        ("vocoder: {base: 'a{}/g_00000001'}", "vocoder.base", "wildcards"),
        ('results: ""', "results", "empty path"),
        ("results: ~nobody-of-this-name/r", "results", "home directory"),
    ],
)
def test_an_ambiguous_path_is_refused(text, key, told):
    with pytest.raises(UserError, match=told) as refusal:
        load_configuration(yaml.safe_load(text))
    assert refusal.value.subject == key


def test_decomposed_unicode_names_match_composed_ones(tmp_path):
    name = "データ/がぎぐ/é"
    (tmp_path / unicodedata.normalize("NFD", name)).mkdir(parents=True)
    written = str(tmp_path / unicodedata.normalize("NFC", name))
    found = load_configuration({"corpus": {"videos": written}}).corpus.videos
    assert found.is_dir() and unicodedata.normalize("NFC", str(found)) == written
    missing = str(tmp_path / "データ" / "nothing")
    assert load_configuration({"results": missing}).results.name == "nothing"


def test_windows_paths_are_read_unchanged():
    text = (
        "corpus: {source: lab, videos: 'C:\\研究用\\v', audio: C:\\研究用\\a}\nlab:\n  processed: D:/hifi-gan/データ\n"
    )
    settings = load_configuration(yaml.safe_load(text))
    assert (str(settings.corpus.videos), str(settings.corpus.audio)) == ("C:\\研究用\\v", "C:\\研究用\\a")
    assert str(settings.lab.processed) == "D:/hifi-gan/データ"

"""Settings: a script's flags give back what the configuration has, and a value outside its limits is refused."""

import argparse
import dataclasses
import shlex
from pathlib import Path

import pytest

from rtmri_speech.dataset.clip import Clip
from rtmri_speech.errors import UserError
from rtmri_speech.settings import acoustic, data, use, vocoder
from rtmri_speech.settings.all import Settings
from rtmri_speech.settings.fields import Section, fields_of
from rtmri_speech.settings.flags import add_flags, command_line_of, from_flags

ACOUSTIC = {
    "cnn_pretrained": Path("weights of mine.pth"),
    "output_stride": 16,
    "image_size": (64, 96),
    "augmentation": acoustic.Augmentation(shift=0.1, gain=1 / 3),
    "loss": acoustic.Loss(time=(), bands={"low": (0, 2.5), "high": (9, 1 / 3)}),
    "max_train_steps": 7,
    "lr": 1.0e-30,
    "amp": "float16",
    "pin_memory": False,
    "freeze_batch_norm": True,
    "resume_ckpt": Path("研究用/it's $HOME.pt"),
}


def read(section, words):
    parser = argparse.ArgumentParser()
    add_flags(parser, section)
    return from_flags(section, parser.parse_args(words))


@pytest.mark.parametrize(
    ("section", "changed"),
    [
        (acoustic.Training, {}),
        (acoustic.Training, ACOUSTIC),
        (acoustic.Training, {"cnn_pretrained": False, "use_checkpoint": False}),
        (acoustic.Prediction, {"context": "causal", "prediction_precision": "bfloat16"}),
        (vocoder.Training, {}),
        (vocoder.Training, {"archive": Path("D:/old"), "bf16": True, "keep_every": 0, "extra_mels_weight": 0.8}),
    ],
)
def test_the_flags_of_settings_give_the_settings(section, changed):
    settings = section(**changed)
    assert read(section, shlex.split(command_line_of(settings))) == settings


@pytest.mark.parametrize(
    "settings",
    [
        data.Mel(preset="lab", fmin=50.0, preemphasis=0.5),
        data.Video(),
        data.Audio(gain=1 / 3),
        data.Windows(),
        data.Split(named=data.Named(test=("000", "a-b"))),
        data.RawVideos(crop=(1, 2, 30, 40), rotation=-5.0),
        use.Mask("custom", Path("研究用/p.json"), 0.5, 0),
        use.Pack("CC BY 4.0", "it's nobody", "none"),
        use.GradCam(stride=8, target_frames=(60, 90), intervals=("first2s", "0.8-1.2"), colormap="jet"),
        use.Film(film_scaling="clip", blend="even"),
        use.Darkening(alphas=(0.5,), lab_polygons=()),
        use.Darkening(),
        use.F0(),
        use.F0(f0_range=(60.0, 400.0)),
        use.Recognition(asr="small", language="en"),
    ],
    ids=lambda settings: type(settings).__name__,
)
def test_every_section_that_a_job_is_given_comes_back(settings):
    assert read(type(settings), shlex.split(command_line_of(settings))) == settings


def test_a_rule_gives_a_job_its_part_of_a_section():
    whole = acoustic.Acoustic(gpus=0, context="window", **ACOUSTIC)
    words = shlex.split(command_line_of(whole, acoustic.Training))
    assert read(acoustic.Training, words) == acoustic.Training(**ACOUSTIC)
    assert "--context" not in words and "--gpus" not in words


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--lr 0", r"--lr: is 0\.0; give a number more than 0 \(Learning rate of AdamW\)\."),
        ("--band_weights f0:0:x", "--band_weights: is f0:0:x; give NAME:VALUE:VALUE"),
        ("--band_weights f0:0:-1", "--band_weights: is .*; give a table, each a list of 2"),
        ("--zoom 2", r"--zoom: is 2\.0; give a number of at least 0 and less than 1"),
    ],
)
def test_a_flag_outside_its_limits_is_refused_by_its_name(words, sentence):
    with pytest.raises(UserError, match=sentence):
        read(acoustic.Training, words.split())


def test_a_value_outside_its_limits_is_refused_by_its_key():
    with pytest.raises(UserError, match=r"acoustic\.augmentation\.shift: is 1; give"):
        acoustic.Augmentation(shift=1)


def sections(section=Settings):
    yield section
    for _, kind in fields_of(section):
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from sections(kind)


def test_every_field_of_a_section_is_a_setting():
    for section in sections():
        assert [field.name for field in dataclasses.fields(section)] == [field.name for field, _ in fields_of(section)]


@pytest.mark.parametrize(
    "clip",
    [
        Clip("000", Path("videos/000.mp4")),
        Clip("a-b", Path("研究用/it's.mp4"), Path("a b.wav"), 0.1, 1 / 3, -12.5),
    ],
)
def test_a_job_gets_the_clip_of_the_table(clip):
    assert read(Clip, shlex.split(command_line_of(clip))) == clip


def test_a_flag_is_taken_with_either_dash():
    assert read(Clip, ["--id", "a", "--video", "a.mp4", "--av-offset-ms", "5"]).av_offset_ms == 5


def test_a_rule_gives_single_settings():
    words = shlex.split(command_line_of(data.Video(size=(64, 32), resampling="mean"), None, "size"))
    assert words == ["--size", "64", "32"] and read(data.Video, words) == data.Video(size=(64, 32))

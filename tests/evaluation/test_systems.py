"""All rows are synthesised and scored as by `evaluate.py`, and clips seen in training are refused."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rtmri_speech.acoustic.model import AcousticModel, Network
from rtmri_speech.acoustic.predict import AcousticBundle, predict_db
from rtmri_speech.acoustic.train import train
from rtmri_speech.dataset.filelists import write_filelist
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation import systems
from rtmri_speech.evaluation.baselines import training_frames
from rtmri_speech.evaluation.f0_range import training_f0_range
from rtmri_speech.evaluation.leak import require_unseen
from rtmri_speech.evaluation.ridge import RidgeMel
from rtmri_speech.evaluation.scores import score_directories
from rtmri_speech.signal.audio import read_audio, write_wav
from rtmri_speech.vocoder.config import VocoderConfig
from rtmri_speech.vocoder.engine import Vocoder
from rtmri_speech.vocoder.generator import Generator

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "evaluate_systems.py"
TEST = ["a4", "a5"]
EVERY_ROW = [
    "window",
    "sequence",
    "causal",
    "base_vocoder",
    "floor",
    "look_up",
    "ridge",
    "ceiling",
    "ceiling_base",
    "griffin_lim",
]


@pytest.fixture(scope="module")
def dataset(make_tiny_processed, tmp_path_factory):
    """Clips a0 to a3 to train on, a4 and a5 (1.0 and 1.3 s) to test, with tones as sound."""
    directory = make_tiny_processed(
        tmp_path_factory.mktemp("data") / "processed",
        lengths=(("training", (13, 17)), ("validation", (11, 8)), ("test", (27, 35))),
    )
    for id in ("a4", "a5"):
        samples = len(open_sample(directory, id).mri) * 420
        tone = 0.3 * np.sin(2 * np.pi * np.cumsum(150 + 60 * np.sin(np.arange(samples) / 3000)) / 11413)
        write_wav(directory / "wavs" / f"{id}.wav", tone * (np.arange(samples) % 6000 > 1500), 11413)
    return directory


def make_vocoder(spec, seed):
    torch.manual_seed(seed)
    config = VocoderConfig(
        upsample_rates=(14, 10, 3),
        upsample_kernel_sizes=(28, 20, 9),
        upsample_initial_channel=16,
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1, 2),),
        resblock="2",
        padding="official",
        segment_size=2520,
        num_mels=spec.n_mels,
        n_fft=spec.n_fft,
        win_size=spec.win_length,
        fmin=spec.fmin,
        fmax=spec.fmax,
        mel=spec,
    )
    return Vocoder(Generator(config), config)


@pytest.fixture(scope="module")
def made(dataset):
    """Untrained models, and the main context not the first of the list."""
    spec = load_mel_spec(dataset)
    torch.manual_seed(0)
    acoustic = AcousticBundle(
        model=AcousticModel(Network("test_efficientnet", rnn_hidden=8, n_mels=spec.n_mels)).eval(),
        source=Path("model.pt"),
        image_size=(32, 32),
        frame_size=(32, 32),
        normalisation="unit",
        ref_frames=4,
        mel=spec,
        scaler=Scaler.load(dataset / "scaler.json"),
        seen=("a0", "a1", "a2", "a3"),
    )
    training = ["a0", "a1"]
    return systems.Systems(
        acoustic,
        make_vocoder(spec, 1),
        make_vocoder(spec, 2),
        training_frames(dataset, training),
        RidgeMel(dataset, training),
        ("window", "sequence", "causal"),
    )


@pytest.fixture(scope="module")
def scored(made, dataset, tmp_path_factory):
    """Sounds and scores of both test clips, with phonemes of one."""
    directory = tmp_path_factory.mktemp("evaluation")
    phonemes = tmp_path_factory.mktemp("phonemes")
    length = 27 * 420 / 11413
    (phonemes / "a4.json").write_text(
        json.dumps(
            {
                "phonemes": [
                    {"phoneme": "", "start": 0, "end": 0.2},
                    {"phoneme": "a", "start": 0.2, "end": 0.5},
                    {"phoneme": "s", "start": 0.5, "end": length},
                ]
            }
        )
    )
    seconds = systems.write_sounds(made, dataset, TEST, directory / "sounds")
    scores = systems.score_sounds(
        made.rows(),
        TEST,
        dataset,
        directory / "sounds",
        made.acoustic.mel,
        made.acoustic.scaler,
        f0_range=training_f0_range(dataset, made.acoustic.mel),
        seconds=seconds,
        phonemes=phonemes,
        workers=2,
    )
    systems.write_scores(directory, scores)
    return directory, scores


def test_every_row_is_synthesised_with_the_configured_one_first(made, scored):
    directory, scores = scored
    assert made.rows() == list(scores["rows"]) == EVERY_ROW
    assert scores["configured"] == "window"
    assert {path.relative_to(directory / "sounds").as_posix() for path in (directory / "sounds").rglob("*.wav")} == {
        f"{row}/{id}.wav" for row in EVERY_ROW for id in TEST
    }


def test_rows_are_what_their_titles_say(made, dataset, scored):
    sounds, spec = scored[0] / "sounds", made.acoustic.mel

    def assert_row(row, mel_db, vocoder):
        wav = read_audio(sounds / row / "a5.wav", sampling_rate=11413)
        np.testing.assert_allclose(wav, vocoder.synthesise(spec.log_from_db(mel_db.T)), atol=1 / 32000)

    sample = open_sample(dataset, "a5")
    for context in ("window", "sequence", "causal"):
        assert_row(context, predict_db(made.acoustic, sample.mri, context), made.vocoder)
    assert_row("base_vocoder", predict_db(made.acoustic, sample.mri, "window"), made.base)
    assert_row("floor", np.tile(made.acoustic.scaler.mean, (35, 1)), made.vocoder)
    assert_row("ceiling", sample.mel_db, made.vocoder)
    assert_row("ceiling_base", sample.mel_db, made.base)


@pytest.mark.parametrize("row", ["window", "griffin_lim"])
def test_scores_equal_those_of_the_standalone_command(row, made, dataset, scored):
    directory, scores = scored
    found = score_directories(
        dataset / "wavs",
        directory / "sounds" / row,
        spec=made.acoustic.mel,
        scaler=made.acoustic.scaler,
        f0_range=scores["settings"]["f0_range_hz"],
    )
    assert found.clips.keys() == set(TEST)
    for id, values in found.clips.items():
        for metric, value in values.items():
            stored = scores["rows"][row]["clips"][id][metric]
            assert stored == pytest.approx(value, nan_ok=True) if stored is not None else np.isnan(value)


def test_only_systems_have_a_real_time_factor(scored):
    rows = scored[1]["rows"]
    timed = {row for row, found in rows.items() if "real_time_factor" in found["summary"]}
    assert timed == {"window", "sequence", "causal"}
    assert all(value["real_time_factor"] > 0 for row in timed for value in rows[row]["clips"].values())


def test_errors_by_bin_add_up_to_the_error(scored):
    scores = scored[1]
    for row, errors in scores["mel_mse_by_bin"]["rows"].items():
        values = [scores["rows"][row]["clips"][id]["mel_mse"] for id in TEST]
        assert np.mean(errors) == pytest.approx(np.average(values, weights=[27, 35]), rel=1e-6)


def test_errors_by_phoneme_are_those_of_its_frames(made, dataset, scored):
    directory, scores = scored
    spec, scaler = made.acoustic.mel, made.acoustic.scaler
    mels = [
        scaler.standardise(spec.db(spec.mel(read_audio(path, sampling_rate=11413))).T)
        for path in (dataset / "wavs" / "a4.wav", directory / "sounds" / "floor" / "a4.wav")
    ]
    by_frame = ((mels[0] - mels[1]) ** 2).mean(axis=1)
    middles = (np.arange(27) + 0.5) * 420 / 11413
    for phoneme, low, high in (("a", 0.2, 0.5), ("s", 0.5, 9)):
        spoken = (middles >= low) & (middles < high)
        found = scores["mel_mse_by_phoneme"][phoneme]
        assert found["frames"] == spoken.sum()
        assert found["rows"]["floor"] == pytest.approx(by_frame[spoken].mean(), rel=1e-4)
    assert list(scores["mel_mse_by_phoneme"]) == ["s", "a"]


def test_files_contain_the_scores(scored):
    directory, scores = scored
    assert json.loads((directory / "scores.json").read_text()) == scores
    lines = (directory / "scores.csv").read_text().splitlines()
    assert lines[0].startswith("row,id,mel_mse,")
    assert [line.split(",")[:2] for line in lines[1:]] == [[row, id] for row in EVERY_ROW for id in TEST]
    table = systems.scores_table(scores, "a4").splitlines()
    assert len(table) == len(EVERY_ROW) + 1
    assert table[1].startswith("Generated, by windows")


def test_a_vocoder_of_another_mel_is_refused(made):
    other = make_vocoder(replace(made.acoustic.mel, fmin=50.0), 3)
    with pytest.raises(UserError, match="fmin"):
        systems.Systems(made.acoustic, other, None, made.look_up, made.ridge, ("sequence",))


def test_without_a_base_its_rows_are_absent(made):
    alone = systems.Systems(made.acoustic, made.vocoder, None, made.look_up, made.ridge, ("causal",))
    assert alone.rows() == ["causal", "floor", "look_up", "ridge", "ceiling", "griffin_lim"]


def test_stages_list_the_clips_they_saw(made, dataset):
    seen = systems.seen_clips(dataset, made.acoustic)
    require_unseen(TEST, seen)
    with pytest.raises(UserError, match="a2 by acoustic and vocoder; score"):
        require_unseen(["a2"], seen)
    with pytest.raises(UserError, match="a0 by scaler and acoustic and vocoder; score"):
        require_unseen(["a0"], seen)


def test_a_leaked_split_is_refused(dataset, tiny_training, tmp_path):
    """The checkpoint lists its clips, even if the file lists were changed after the training."""
    leaked = tmp_path / "leaked"
    shutil.copytree(dataset, leaked)
    settings = tiny_training("leak", processed_dir=leaked, epochs=1)
    train(settings)
    write_filelist(leaked / "hifigan_filelists" / "training.txt", ["a0"])
    write_filelist(leaked / "hifigan_filelists" / "test.txt", ["a1", "a4", "a5"])
    command = [sys.executable, SCRIPT, "--processed_dir", leaked, "--mri_checkpoint", settings.out_ckpt]
    command += ["--hifigan_checkpoint", tmp_path / "g_00000001", "--output_dir", tmp_path / "out"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "leak check: training has seen a1 by acoustic; score test clips only" in done.stderr
    assert not (tmp_path / "out").exists()

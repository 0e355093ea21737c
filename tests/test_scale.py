"""Memory does not grow with the number of clips; benchmarks/bench_scale.py measures planning and execution."""

import tracemalloc

import numpy as np
import pytest

from rtmri_speech.dataset.filelists import read_filelist
from rtmri_speech.dataset.log_mels import export_true
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.dataset.windows import WindowDataset
from rtmri_speech.evaluation import baselines
from rtmri_speech.signal.audio import write_wav
from rtmri_speech.vocoder.config import VocoderConfig
from rtmri_speech.vocoder.data import Excerpts, fingerprint, open_clips

FRAMES = 400


def fit_scaler(directory, config):
    Scaler.of(open_sample(directory, id) for id in read_filelist(directory / "hifigan_filelists" / "training.txt"))


def read_windows(directory, config):
    windows = WindowDataset(directory, "training")
    for index in range(0, len(windows), FRAMES // 4):
        windows[index]["mri"].sum()


def export_mels(directory, config):
    export_true(directory, directory / "mels", overwrite=True)


def look_up(directory, config):
    ids = read_filelist(directory / "hifigan_filelists" / "training.txt")
    look_up = baselines.training_frames(directory, ids, most=FRAMES)
    look_up.predict(open_sample(directory, ids[0]).mri, baselines.NEIGHBOURS)


def excerpts(directory, config):
    lists = directory / "hifigan_filelists" / "training.txt"
    clips = open_clips(lists, directory / "wavs", config, mels_dir=directory / "mels")
    fingerprint(clips)
    batches = Excerpts(clips, config)
    for step in range(20):
        batches[step]


@pytest.fixture(scope="module")
def config():
    return VocoderConfig(
        resblock="2",
        batch_size=2,
        upsample_rates=(14, 10, 3),
        upsample_kernel_sizes=(28, 20, 9),
        upsample_initial_channel=16,
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1, 2),),
        segment_size=2520,
        num_mels=12,
        n_fft=512,
        win_size=512,
        fmax=5706.5,
        padding="official",
    )


@pytest.fixture(scope="module")
def corpora(make_tiny_processed, tmp_path_factory):
    """The same clips, few and ten times as many."""
    made = []
    for count in (3, 30):
        place = tmp_path_factory.mktemp("many") / "processed"
        directory = make_tiny_processed(
            place, lengths=(("training", (FRAMES,) * count), ("validation", (8,)), ("test", (9,)))
        )
        for id in read_filelist(directory / "hifigan_filelists" / "training.txt"):
            write_wav(directory / "wavs" / f"{id}.wav", 0.1 * np.sin(np.arange(FRAMES * 420)), 11413)
        export_mels(directory, None)
        made.append(directory)
    return made


@pytest.mark.parametrize("stage", [fit_scaler, read_windows, export_mels, look_up, excerpts])
def test_memory_does_not_grow_with_the_number_of_clips(stage, corpora, config, monkeypatch):
    # As many as the few clips, which leaves the others no excuse.
    monkeypatch.setattr("rtmri_speech.dataset.windows.MOST_OPEN", 3)
    # Once before: what is imported or cached for all clips is no clip's.
    stage(corpora[0], config)
    peaks = []
    for directory in corpora:
        tracemalloc.start()
        stage(directory, config)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The least that a clip has in memory is its mel; where its windows start, 8 bytes each, is a sixth of that.
    mels_of_the_others = 27 * FRAMES * 12 * 4
    assert peaks[1] - peaks[0] < mels_of_the_others / 2, f"{peaks} bytes"


def test_a_look_up_of_many_frames_samples_them_evenly(make_tiny_processed, tmp_path):
    directory = make_tiny_processed(tmp_path / "processed")
    ids = read_filelist(directory / "hifigan_filelists" / "training.txt")
    samples = [open_sample(directory, id) for id in ids]
    frames = np.concatenate([sample.mri[sample.sound_mask > 0] for sample in samples])
    mel_db = np.concatenate([sample.mel_db[sample.sound_mask > 0] for sample in samples])
    everything = baselines.training_frames(directory, ids)
    assert everything.count == len(frames)
    np.testing.assert_array_equal(everything.predict(frames, 1), mel_db)

    few = baselines.training_frames(directory, ids, most=12)
    chosen = np.floor(np.linspace(0, len(frames), 12, endpoint=False)).astype(int)
    assert few.count == 12
    np.testing.assert_array_equal(few.predict(frames[chosen], 1), mel_db[chosen])
    assert set(few.neighbours(frames, 1).ravel()) <= set(range(12))

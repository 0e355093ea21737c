"""Spawned loader processes (as on Windows) give the same batches as the training process."""

import numpy as np
import torch

from rtmri_speech.acoustic.data import Segments, TrainingSteps
from rtmri_speech.dataset.filelists import write_filelist
from rtmri_speech.dataset.windows import WindowDataset
from rtmri_speech.signal.audio import write_wav
from rtmri_speech.training.loading import batches, load
from rtmri_speech.vocoder.config import VocoderConfig
from rtmri_speech.vocoder.data import Excerpts, open_clips


def test_spawned_loaders_of_the_mel_generator(tiny_processed):
    def loaded(workers):
        windows = WindowDataset(tiny_processed, "training")
        segments = Segments(windows, 4, 2, "unit", 42)
        steps = TrainingSteps(len(segments), 4, 42)
        loader = load(segments.micro_batches, steps.between(0, 2), workers=workers)
        if workers:
            loader.multiprocessing_context = "spawn"
        return [part for batch in batches(loader) for part in batch]

    here, there = loaded(0), loaded(1)
    assert len(here) == len(there) > 0
    for one, other in zip(here, there, strict=True):
        for name in ("frames", "mel", "sound_mask", "starts"):
            torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=0)


def test_spawned_loaders_of_the_vocoder(tmp_path):
    rng = np.random.default_rng(0)
    for id in ("a", "b"):
        write_wav(tmp_path / f"{id}.wav", rng.uniform(-0.3, 0.3, 30 * 420), 11413)
    write_filelist(tmp_path / "training.txt", ["a", "b"])
    config = VocoderConfig(batch_size=2, upsample_initial_channel=16)
    clips = open_clips(tmp_path / "training.txt", tmp_path, config)

    def loaded(workers):
        loader = load(Excerpts(clips, config).__getitem__, range(2), workers=workers)
        if workers:
            loader.multiprocessing_context = "spawn"
        return list(batches(loader))

    for one, other in zip(loaded(0), loaded(1), strict=True):
        for name in ("mel", "audio"):
            torch.testing.assert_close(one[name], other[name], rtol=0, atol=0)

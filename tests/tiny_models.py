"""Untrained models of the smallest size, written as the trainings write theirs."""

import dataclasses

import numpy as np
import soundfile
import torch

from rtmri_speech.acoustic.model import AcousticModel, Network
from rtmri_speech.dataset.filelists import write_filelist
from rtmri_speech.settings.acoustic import PRINCIPAL_COMPONENTS, SIDE
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.vocoder.checkpoint import official_state
from rtmri_speech.vocoder.config import VocoderConfig, write_config
from rtmri_speech.vocoder.generator import Generator

SIZE = (32, 32)
SPEC = MelSpec.preset("hifigan", n_fft=512, win_length=512, n_mels=16)

TRAINED_VOCODER = VocoderConfig(
    padding="official",
    resblock="2",
    upsample_rates=(15, 28),
    upsample_kernel_sizes=(30, 56),
    upsample_initial_channel=8,
    resblock_kernel_sizes=(3,),
    resblock_dilation_sizes=((1, 3),),
    batch_size=2,
    segment_size=2100,
    n_fft=512,
    win_size=512,
    mpd_divisor=32,
    msd_divisor=32,
    average=0.9,
)
"""A HiFi-GAN whose training takes seconds."""


def write_noise(directory, training):
    """Wavs of noise with their file lists: the clips ``training``, and v for validation."""
    rng = np.random.default_rng(0)
    (directory / "wavs").mkdir()
    for name in (*training, "v"):
        soundfile.write(directory / "wavs" / f"{name}.wav", rng.normal(size=12 * 420) * 0.1, 11413)
    write_filelist(directory / "training.txt", training)
    write_filelist(directory / "validation.txt", ["v"])


def write_acoustic(
    path,
    seed=0,
    spec=SPEC,
    size=SIZE,
    normalisation="unit",
    backbone="test_efficientnet",
    pitch=False,
    neighbours=0,
    speakers=None,
    embedding=0,
):
    """A mel generator with random weights, without training state; ``speakers`` are scalers by name, or names alone."""
    torch.manual_seed(seed)
    vectors = {"speaker_embedding": embedding, "speakers": len(speakers)} if embedding else {}
    network = Network(backbone, rnn_hidden=8, n_mels=spec.n_mels, pitch=pitch, neighbours=neighbours, **vectors)
    model = AcousticModel(network)
    if backbone == PRINCIPAL_COMPONENTS:
        axes = np.random.default_rng(seed).normal(0, 1 / SIDE, (SIDE**2, network.components))
        model.cnn.fit(np.full(SIDE**2, 0.4, np.float32), np.float32(axes), np.ones(network.components, np.float32))
    if pitch:
        # Voiced throughout.
        torch.nn.init.constant_(model.head.bias[spec.n_mels + 1], 2.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "model_state_dict": model.state_dict(),
            "network": dataclasses.asdict(network),
            "image_size": list(size),
            "frame_size": list(size),
            "frame_normalisation": normalisation,
            "ref_frames": 4,
            "mel": spec.to_dict(),
            "scaler": {"mean": [-40.0] * spec.n_mels, "std": [20.0] * spec.n_mels, "count_frames": 1},
            "training_ids": ["a0"],
            "validation_ids": ["a1"],
            **({"speaker_scalers": speakers} if isinstance(speakers, dict) else {}),
            **({"speakers": list(speakers)} if embedding else {}),
        },
        path,
    )
    return path


def write_vocoder(path, seed=0, spec=SPEC, padding="official"):
    """A HiFi-GAN generator with random weights, loud enough to be heard, its config beside it."""
    torch.manual_seed(seed)
    config = VocoderConfig(
        resblock="2",
        upsample_rates=(14, 10, 3),
        upsample_kernel_sizes=(28, 20, 9),
        upsample_initial_channel=16,
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1, 2),),
        segment_size=2520,
        num_mels=spec.n_mels,
        n_fft=spec.n_fft,
        win_size=spec.win_length,
        fmax=spec.fmax,
        padding=padding,
        mel=spec,
    )
    generator = Generator(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_config(path.parent / "config.json", config)
    torch.save({"generator": official_state(generator)}, path)
    return path


def moving_bar(frames, seed=0, size=SIZE):
    """Gray frames with a bar that moves, uint8 ``(frames, *size)``."""
    rng = np.random.default_rng(seed)
    place = (np.sin(np.arange(frames) / rng.uniform(1, 3)) + 1) / 2
    rows = np.arange(size[0])[None, :, None] / size[0]
    return np.uint8(20 + 200 * np.exp(-(((rows - place[:, None, None]) / 0.1) ** 2)) * np.ones((1, 1, size[1])))


def write_pack(folder):
    """Write a pack of `write_acoustic` and `write_vocoder` below ``folder``; return its path."""
    from rtmri_speech.pack.export import make_pack
    from rtmri_speech.settings.use import Pack

    models = write_acoustic(folder / "mri.pt"), write_vocoder(folder / "g_00000001")
    make_pack(folder / "a.pack", *models, Pack("MIT", "nobody", "none is needed"))
    return folder / "a.pack"

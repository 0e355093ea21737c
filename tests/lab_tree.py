"""A small replica of a lab's files after a year with the old system: videos, sound, dataset and checkpoints.

Every array is made here from librosa and NumPy alone, by the old system's conventions, so that what reads it is
compared with something else than itself. Pictures are smaller and networks narrower than the lab's; names and layout
are its own.
"""

import json
import random
import shutil
import wave
import zlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import librosa
import numpy as np

from rtmri_speech.signal.video import write_video

SR, HOP, N_FFT, N_MELS, PREEMPHASIS, REF_FRAMES = 11413, 420, 2048, 64, 0.97, 4
VOCODER_FIXTURE = Path(__file__).parent / "vocoder" / "data" / "hifigan_lab_tiny"


@dataclass
class LabTree:
    """Paths and contents of the tree.

    ``mri`` float32 (T, H, W) in [0, 1], ``mel_db`` float32 (T, 64), ``audio`` int16 (N,): by clip id.
    """

    root: Path
    mri: dict = field(default_factory=dict)
    mel_db: dict = field(default_factory=dict)
    audio: dict = field(default_factory=dict)
    scaler: dict = field(default_factory=dict)

    videos = property(lambda self: self.root / "山根研究用" / "normalized_videos")
    wavs = property(lambda self: self.root / "山根研究用" / "audio_wav")
    hifi_gan = property(lambda self: self.root / "hifi-gan")
    processed = property(lambda self: self.hifi_gan / "dataset" / "rtmri_normalized_processed")
    checkpoints = property(lambda self: self.hifi_gan / "checkpoints")
    acoustic = property(lambda self: self.checkpoints / "mri_acoustic_model.pt")
    base = property(lambda self: self.checkpoints / "jvs_11413_2048_scratch" / "g_00055000")
    vocoder = property(lambda self: self.checkpoints / "jvs_11413_2048_ft_mri" / "g_00330000")
    gain = property(lambda self: 32768 / max(np.abs(wav.astype(int)).max() for wav in self.audio.values()))
    """What the old system multiplied the whole corpus by: its loudest sample became 1."""


def build_lab_tree(
    root: Path,
    *,
    clips: int = 6,
    frames: tuple[int, int] = (16, 28),
    size: tuple[int, int] = (64, 64),
    layouts: tuple[str, ...] = ("samples", "npz", "npy"),
    rnn_hidden: int = 8,
    checkpoints: bool = True,
    seed: int = 0,
) -> LabTree:
    """Write a lab's tree under ``root``.

    Parameters
    ----------
    root : gets ``山根研究用/{normalized_videos,audio_wav}`` and ``hifi-gan/{dataset,checkpoints,config_custom.json}``.
    clips, frames : how many, and the fewest and most video frames of one.
    size : height and width of the pictures, the lab's 256 x 256.
    layouts : which copies of the frames there are: ``samples``, ``pairs_ref4/*.npz``, ``pairs_ref4_npy/*/``.
    rnn_hidden : of the mel generator, the lab's 640; its CNN is the lab's own.
    checkpoints : whether to write the models too (110 MB, of which the CNN and its optimiser are nearly all).
    """
    tree = LabTree(Path(root))
    rng = np.random.default_rng(seed)
    for number in range(clips):
        id = f"{number:03d}"
        count = int(rng.integers(frames[0], frames[1] + 1))
        _record(tree, id, count, size, rng)
    peak = max(np.abs(wav.astype(np.float64)).max() for wav in tree.audio.values()) / 32768
    for id, wav in tree.audio.items():
        mel = lab_mel_db(wav.astype(np.float64) / 32768 / peak)
        count = min(len(tree.mri[id]), len(wav) // HOP, len(mel))
        tree.mri[id], tree.mel_db[id] = tree.mri[id][:count], mel[:count]
    _write_dataset(tree, size, layouts, rng)
    if checkpoints:
        write_lab_acoustic(tree.acoustic, rnn_hidden)
        _write_vocoders(tree)
    (tree.hifi_gan / "config_custom.json").write_text(
        (VOCODER_FIXTURE / "config.json").read_text(encoding="utf-8"), encoding="utf-8"
    )
    return tree


def lab_mel_db(audio: np.ndarray) -> np.ndarray:
    """The old system's mel of a peak-normalised signal, float32 (frames, 64), dB: unpadded, power, pre-emphasised."""
    emphasised = np.append(audio[0], audio[1:] - PREEMPHASIS * audio[:-1])
    mel = librosa.feature.melspectrogram(
        y=emphasised, sr=SR, n_fft=N_FFT, hop_length=HOP, center=False, power=2.0, n_mels=N_MELS, fmin=0, fmax=SR / 2
    )
    return librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=80).T.astype(np.float32)


def lab_windows(array: np.ndarray) -> np.ndarray:
    """Windows of four frames, stride 1, stored in full: ``(T, ...)`` to ``(T - 3, 4, ...)``."""
    return np.stack([array[first : first + REF_FRAMES] for first in range(len(array) - REF_FRAMES + 1)])


def _record(tree: LabTree, id: str, count: int, size: tuple[int, int], rng: np.random.Generator) -> None:
    """A bar that moves with the pitch of a voice of a few harmonics, its video and its 16-bit sound."""
    place = (np.sin(np.arange(count) / rng.uniform(1, 3) + rng.uniform(0, 6)) + 1) / 2
    rows = np.arange(size[0]) / size[0]
    bar = np.exp(-(((rows[None] - place[:, None]) / 0.1) ** 2))
    pictures = np.uint8(15 + 200 * bar[:, :, None] * np.linspace(0.5, 1, size[1]) + rng.integers(0, 25, (1, *size)))
    tree.videos.mkdir(parents=True, exist_ok=True)
    write_video(tree.videos / f"{id}.mp4", pictures, Fraction(SR, HOP))
    # What a decoder gives depends on the codec; the old samples are what the old system decoded.
    tree.mri[id] = pictures.astype(np.float32) / np.float32(255)
    pitch = np.cumsum(np.repeat(120 + 90 * place, HOP)) / SR
    voice = sum(np.sin(2 * np.pi * harmonic * pitch) / harmonic for harmonic in range(1, 25))
    voice = rng.uniform(0.1, 0.2) * voice + rng.normal(0, 1e-3, len(voice))
    tree.audio[id] = np.int16(np.rint(np.clip(voice, -1, 1) * 32767))
    tree.wavs.mkdir(parents=True, exist_ok=True)
    with wave.open(str(tree.wavs / f"{id}.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SR)
        out.writeframes(tree.audio[id].tobytes())


def _write_dataset(tree: LabTree, size: tuple[int, int], layouts: tuple[str, ...], rng: np.random.Generator) -> None:
    processed = tree.processed
    every = np.concatenate(list(tree.mel_db.values())).astype(np.float64)
    mean, std = every.mean(0), every.std(0)
    tree.scaler = {"mean": mean.tolist(), "std": std.tolist(), "count_frames": len(every)}
    for id, mel_db in tree.mel_db.items():
        mask = np.ones(len(mel_db), np.float32)
        if "samples" in layouts:
            _save(processed / "samples" / id, mri=tree.mri[id], mel_db=mel_db, mask=mask)
        standardised = ((mel_db - mean) / std).astype(np.float32)
        windows = {"mri": lab_windows(tree.mri[id])[:, :, None], "mel": lab_windows(standardised)}
        windows["mask"] = lab_windows(mask)
        if "npz" in layouts:
            (processed / "pairs_ref4").mkdir(parents=True, exist_ok=True)
            np.savez(processed / "pairs_ref4" / f"{id}.npz", **windows)
        if "npy" in layouts:
            _save(processed / "pairs_ref4_npy" / id, **windows)
        log_mel = np.log(np.maximum(10 ** (mel_db.astype(np.float64) / 10), 1e-5)).T
        predicted = np.maximum(log_mel + rng.normal(0, 0.5, log_mel.shape), np.log(1e-5))
        for name, mel in (("mels_gt_log", log_mel), ("mels_ft_log_normalized", predicted)):
            (processed / name).mkdir(parents=True, exist_ok=True)
            np.save(processed / name / f"{id}.npy", mel.astype(np.float32))
    _save_json(processed / "scaler.json", tree.scaler)
    ids = sorted(tree.mel_db)
    numbers = {"sr": SR, "n_mels": N_MELS, "n_fft": N_FFT, "win_length": N_FFT, "hop_length": HOP}
    meta = {**numbers, "preemph": PREEMPHASIS, "resize_h": size[0], "resize_w": size[1], "ref_frames": REF_FRAMES}
    _save_json(processed / "meta.json", {**meta, "stems": ids, "mean": mean.tolist(), "std": std.tolist()})
    shuffled = list(ids)
    random.Random(42).shuffle(shuffled)
    held_out = max(1, int(0.1 * len(ids)))
    lists = processed / "hifigan_filelists"
    lists.mkdir(parents=True, exist_ok=True)
    for part, members in (("validation", shuffled[:held_out]), ("training", shuffled[held_out:])):
        # As Windows' editors save it.
        (lists / f"{part}.txt").write_bytes("\r\n".join(f"{id}|dummy|dummy" for id in members).encode() + b"\r\n")


def write_lab_acoustic(path: Path, rnn_hidden: int = 8, n_mels: int = N_MELS, epoch: int = 3, seed: int = 0) -> Path:
    """A checkpoint of the old mel generator: random weights, the optimiser after a step, and none of our own keys."""
    import torch

    from rtmri_speech.acoustic.model import AcousticModel, Network

    torch.manual_seed(seed)
    model = AcousticModel(Network(rnn_hidden=rnn_hidden, n_mels=n_mels))
    # Untrained, all frames would sound alike.
    with torch.no_grad():
        model.head.weight.mul_(4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=5, min_lr=1e-6)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e-6)
    optimizer.step()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "epoch": epoch,
            "model_state_dict": model.state_dict(),
            "optimizer_state_dict": optimizer.state_dict(),
            "scheduler_state_dict": scheduler.state_dict(),
            "scaler_state_dict": {},
            "val_loss": 1.5,
            "val_mse": 1.0,
            "train_loss": 1.25,
        },
        path,
    )
    return path


def lab_weights(shapes):
    """The weights of the reference mel generator (shared/fixtures/acoustic_lab), by the formula in its README."""
    import torch

    state = {}
    for name, value in shapes.items():
        if not value.is_floating_point():
            state[name] = value
            continue
        x = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(value.shape)).astype(np.float32)
        if name.endswith("running_var"):
            x = 0.5 + np.abs(x)
        elif name.endswith(("running_mean", "bias")) or ".bias_" in name:
            x = 0.05 * x
        elif x.ndim == 1:
            x = 1 + 0.1 * x
        else:
            x = x / np.sqrt(np.prod(x.shape[1:]))
        state[name] = torch.from_numpy(x.astype(np.float32))
    return state


def _write_vocoders(tree: LabTree) -> None:
    """The base and the fine-tuned one: the old program's weights, and narrow discriminators with AdaBelief's state."""
    import torch

    from rtmri_speech.vocoder.checkpoint import official_state
    from rtmri_speech.vocoder.config import VocoderConfig
    from rtmri_speech.vocoder.discriminators import MultiPeriodDiscriminator, MultiScaleDiscriminator

    config = json.loads((VOCODER_FIXTURE / "config.json").read_text(encoding="utf-8"))
    config |= {"mpd_divisor": 32, "msd_divisor": 32, "batch_size": 2}
    torch.manual_seed(1)
    narrow = VocoderConfig(mpd_divisor=32, msd_divisor=32, padding="lab")
    generator = torch.load(VOCODER_FIXTURE / "g_00000000", weights_only=True)["generator"]
    mpd, msd = MultiPeriodDiscriminator(narrow), MultiScaleDiscriminator(narrow)
    judges = [*mpd.parameters(), *msd.parameters()]
    for path in (tree.base, tree.vocoder):
        steps = int(path.name[2:])
        path.parent.mkdir(parents=True, exist_ok=True)
        _save_json(path.parent / "config.json", config)
        shutil.copyfile(VOCODER_FIXTURE / "g_00000000", path)
        torch.save(
            {
                "mpd": official_state(mpd),
                "msd": official_state(msd),
                "optim_g": _adabelief(list(generator.values())),
                "optim_d": _adabelief(judges),
                "steps": steps,
                "epoch": steps // 100,
            },
            path.with_name(f"do_{steps:08d}"),
        )


def _adabelief(tensors: list) -> dict:
    import torch

    zeros = {"step": 10, "exp_avg": torch.zeros_like, "exp_avg_var": torch.zeros_like}
    state = {
        number: {name: value(tensor.detach()) if callable(value) else value for name, value in zeros.items()}
        for number, tensor in enumerate(tensors)
    }
    group = {"lr": 5e-5, "betas": (0.8, 0.99), "eps": 1e-16, "weight_decay": 0, "params": list(range(len(tensors)))}
    return {"state": state, "param_groups": [group]}


def _save(directory: Path, **arrays: np.ndarray) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(directory / f"{name}.npy", array)


def _save_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")

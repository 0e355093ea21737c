"""Compare the lab's older system, as the memo describes it, with this one: the measurements in docs/from_the_memo.md.

    python benchmarks/compare_with_memo.py

prints that table, computed from the demo corpus (all sounds, the frames of one clip). The values of the older system
are recomputed from its documented definitions. Nothing is timed: the same packages give the same numbers.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import librosa
import numpy as np
import torch

from rtmri_speech.acoustic.loss import MaskedMSEMAE
from rtmri_speech.acoustic.model import AcousticModel, Network, Recomputing
from rtmri_speech.dataset.split import split_clips
from rtmri_speech.dataset.windows import window_starts
from rtmri_speech.settings.acoustic import Loss
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.mel import MelSpec, log_mel
from rtmri_speech.signal.video import read_frames

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
OLD, NEW = MelSpec.preset("lab"), MelSpec.preset("hifigan")
REF_FRAMES = 4
BANDS = {"F1": (300, 900), "F2": (900, 2500)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="the demo corpus, if it already exists (results/demo)")
    args = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        corpus = args.corpus or make_corpus(Path(folder))
        sounds = {
            path.stem: read_audio(path, sampling_rate=NEW.sampling_rate) for path in sorted(corpus.glob("audio/*.wav"))
        }
        frames = np.stack(list(read_frames(corpus / "videos" / "000.mp4")))
    rows = [
        *alignment(),
        *leak(sounds),
        *pictures(frames),
        *kept_for_the_gradient(frames),
        *bands(),
        *stored_bytes(frames),
        *upper_edge(),
        *two_mels(sounds["000"]),
        *ramp(sounds["000"]),
    ]
    print("| defect | quantity | old system | here |\n| --- | --- | --- | --- |")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")


def make_corpus(directory: Path) -> Path:
    make = [sys.executable, SCRIPTS / "make_demo_corpus.py", "--seed", "503", "--out_dir", directory]
    subprocess.run([*make, "--audio_only"], check=True)
    subprocess.run([*make, "--only", "000"], check=True)
    return directory


def alignment() -> Iterator[tuple]:
    """The offset of a click in the middle of a video frame from the mel frame with its power, in frames."""
    frame = 20
    click = np.zeros(60 * NEW.hop_length, np.float32)
    click[frame * NEW.hop_length + NEW.hop_length // 2] = 1
    places = []
    for spec in (OLD, NEW):
        power = (spec.mel(click).T ** (2 / spec.power)).sum(1)
        places.append((power * np.arange(len(power))).sum() / power.sum() - frame)
    yield (
        1,
        "mel frame that a click lies in, minus its video frame",
        *(f"{place:.2f}".replace("-", "−") for place in places),
    )


def leak(sounds: dict[str, np.ndarray]) -> Iterator[tuple]:
    lengths = {id: len(sound) // NEW.hop_length for id, sound in sounds.items()}
    shared, validation = leaking_windows(list(lengths.values()), REF_FRAMES)
    splits = split_clips(lengths)
    windows = {id: len(window_starts([lengths[id]], REF_FRAMES)) for id in splits["validation"]}
    crossing = sum(count for id, count in windows.items() if id in splits["training"])
    what = "validation windows that share frames with training windows"
    yield 2, what, f"{shared} of {validation}", f"{crossing} of {sum(windows.values())}"


def leaking_windows(lengths: Sequence[int], ref_frames: int) -> tuple[int, int]:
    """Count the validation windows of the old training that share a frame with a training window.

    Parameters
    ----------
    lengths : frames of each clip, in natural order of id.
    ref_frames : frames a window; stride 1.

    Returns
    -------
    leaking and all validation windows, under its split: 80/10/10 of all windows at random, seed 42.
    """
    counts = [max(length - ref_frames + 1, 0) for length in lengths]
    total = sum(counts)
    training, validation = (int(share * total) for share in (0.8, 0.1))
    parts = torch.utils.data.random_split(
        range(total),
        [training, validation, total - training - validation],
        generator=torch.Generator().manual_seed(42),
    )
    # Windows are numbered clip by clip, and a clip has ref_frames - 1 frames more than windows.
    clip = np.repeat(np.arange(len(counts)), counts)
    first = np.arange(total) + clip * (ref_frames - 1)
    seen = np.zeros(total + len(counts) * (ref_frames - 1), bool)
    reach = np.arange(ref_frames)
    seen[first[np.asarray(parts[0].indices, int)][:, None] + reach] = True
    leaking = seen[first[np.asarray(parts[1].indices, int)][:, None] + reach].any(1)
    return int(leaking.sum()), validation


def pictures(frames: np.ndarray) -> Iterator[tuple]:
    """The difference between the two normalisations of the same frames, in training and in inference."""
    trained, used = frames / np.float32(255), np.stack([as_in_inference(frame) for frame in frames])
    what = "mean difference of a pixel between training and inference (range 0 to 1)"
    yield 3, what, f"{np.abs(trained - used).mean():.4f}", "none: same function"


def as_in_inference(frame: np.ndarray) -> np.ndarray:
    """A frame normalised as in the old inference: z-score, then min-max."""
    picture = frame.astype(np.float32)
    picture = (picture - picture.mean()) / (picture.std() + 1e-8)
    return (picture - picture.min()) / (picture.max() - picture.min() + 1e-8)


def kept_for_the_gradient(frames: np.ndarray) -> Iterator[tuple]:
    """Bytes that the memo's CNN keeps for the backward pass of a micro-batch: 2 windows of 4 frames of 256x256."""
    model = AcousticModel(Network()).train()
    batch = torch.from_numpy(frames[: 2 * REF_FRAMES, None] / np.float32(255))
    kept = []
    for recomputing in (None, Recomputing(2)):
        sizes: dict[int, int] = {}

        def hold(tensor: torch.Tensor, sizes: dict[int, int] = sizes) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
            features = model.features(batch, recomputing)
        weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        kept.append(sum(size for place, size in sizes.items() if place not in weights))
        del features
    what = "memory kept for the gradient of 8 frames with `--use_checkpoint --ckpt_segments 2` (MB)"
    yield 5, what, *(f"{size / 1e6:.0f}" for size in kept)


def bands() -> Iterator[tuple]:
    centres = NEW.centre_frequencies()
    # The old Grad-CAM located the bins on the HTK scale up to 8000 Hz.
    supposed = librosa.mel_frequencies(NEW.n_mels + 2, fmin=0, fmax=8000, htk=True)[1:-1]
    for name, (low, high) in BANDS.items():
        old = np.flatnonzero((supposed >= low) & (supposed <= high))
        new = NEW.band(low, high)
        for_each = (f"{bins[0]}–{bins[-1]} ({centres[bins[0]]:.0f}–{centres[bins[-1]]:.0f} Hz)" for bins in (old, new))
        yield 7, f"bins of {name} ({low}–{high} Hz), and where their filters lie", *for_each


def stored_bytes(frames: np.ndarray) -> Iterator[tuple]:
    count, pixels = len(frames), frames[0].size
    windows = (count - REF_FRAMES + 1) * REF_FRAMES * pixels * 4
    what = f"bytes of the windows of a clip of {count} frames"
    yield 8, what, f"{windows} ({windows / (count * pixels):.1f}×)", f"{frames.nbytes} (1×)"


def upper_edge() -> Iterator[tuple]:
    beyond = dataclasses.replace(NEW, fmax=8000.0)
    empty = [int((spec.filterbank().max(1) == 0).sum()) for spec in (beyond, NEW)]
    yield 10, "empty filters of 64, `fmax` 8000 and 5706.5 Hz", *empty


def two_mels(sound: np.ndarray) -> Iterator[tuple]:
    """The difference between the mels of the vocoder's input and of its loss, for the same sound."""
    condition = log_mel(OLD.mel(sound / np.abs(sound).max()))
    loss = log_mel(dataclasses.replace(OLD, power=1, preemphasis=0.0).mel(sound))
    what = "mean difference between the mels of the vocoder's input and loss (ln)"
    yield 11, what, f"{np.abs(condition - loss).mean():.2f}", "none: same mel"


def ramp(sound: np.ndarray) -> Iterator[tuple]:
    """The loss of one prediction, the mean mel in every frame, while the weights ramp."""
    mel = torch.from_numpy(NEW.mel_db(sound).T)
    target = ((mel - mel.mean(0)) / mel.std(0)).unfold(0, REF_FRAMES, 1).transpose(1, 2).contiguous()
    criterion, mask = MaskedMSEMAE(Loss(), NEW.n_mels), torch.ones(target.shape[:2])
    losses = []
    for share in (0.0, 0.5, 1.0):
        squares, _ = criterion.sums(torch.zeros_like(target), target, mask, share)
        losses.append(float(criterion.loss(squares, criterion.totals(mask, share), share)))
    shown = " → ".join(f"{loss:.2f}" for loss in losses)
    yield 12, "validation loss of the same prediction, at ramp 0 → 0.5 → 1", shown, f"{losses[-1]:.2f} always"


if __name__ == "__main__":
    main()

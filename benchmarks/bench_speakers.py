"""The mel generator on several synthetic speakers, with and without statistics by speaker: mel error of each speaker.

The demo's synthesiser speaks as three speakers, of whom pitch, level, the recording's frequency response and the
picture's size and contrast differ. Trained are the demo's networks on all three together, and for the last speaker on
their clips alone and further from the model of all.

    python benchmarks/bench_speakers.py --directory /tmp/speakers
"""

import argparse
import dataclasses
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.signal import fftconvolve, firwin2

from rtmri_speech.acoustic.context import predict_db
from rtmri_speech.acoustic.predict import load_acoustic_model
from rtmri_speech.acoustic.train import TrainingSettings, train
from rtmri_speech.configuration import load_configuration
from rtmri_speech.dataset.clip import Clip
from rtmri_speech.dataset.f0 import spoken_frames
from rtmri_speech.dataset.process import DatasetSettings, Processing
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.dataset.speakers import clip_speakers
from rtmri_speech.demo import articulation, picture, text
from rtmri_speech.evaluation.ablation import read_settings
from rtmri_speech.settings.acoustic import Training
from rtmri_speech.settings.fields import fields_of
from rtmri_speech.signal.audio import write_wav
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.signal.video import write_video
from rtmri_speech.tables import markdown_table
from rtmri_speech.threads import limit_threads

SIZE = (64, 64)
PARTS = ("training", "validation", "test")
RESPONSE_HZ = np.array([0, 200, 400, 800, 1600, 2600, 3800, 5706.5])


@dataclasses.dataclass(frozen=True)
class Speaker:
    """How one speaker and their recording differ: semitones, dB, dB per octave from 800 Hz, factors of the picture."""

    pitch: float
    level_db: float
    tilt_db: float
    size: float
    contrast: float
    seed: int

    def heard(self, audio: np.ndarray) -> np.ndarray:
        """Return the recording, through a response with bumps of 3 dB (standard deviation)."""
        octaves = np.log2(np.maximum(RESPONSE_HZ, 100) / 800)
        bumps = np.random.default_rng(self.seed).normal(0, 3, len(RESPONSE_HZ))
        gain = 10 ** ((self.level_db + self.tilt_db * octaves + bumps) / 20)
        taps = firwin2(255, RESPONSE_HZ, gain, fs=articulation.SAMPLING_RATE)
        return np.clip(fftconvolve(audio, taps, "same"), -1, 1)

    def seen(self, frame: np.ndarray) -> np.ndarray:
        """Return the picture, uint8 ``(256, 256)``."""
        change = cv2.getRotationMatrix2D((127.5, 127.5), 0, self.size)
        larger = cv2.warpAffine(frame, change, (256, 256), borderMode=cv2.BORDER_REPLICATE)
        return np.uint8(np.clip(np.rint(larger * self.contrast), 0, 255))


SPEAKERS = {
    "A": Speaker(pitch=6, level_db=-8, tilt_db=1, size=0.9, contrast=0.8, seed=1),
    "B": Speaker(pitch=0, level_db=-2, tilt_db=-2, size=1.0, contrast=1.0, seed=2),
    "C": Speaker(pitch=-4, level_db=-5, tilt_db=3, size=1.12, contrast=1.15, seed=3),
}


def make_clip(folder: Path, name: str, number: int, seed: int) -> Clip:
    """Return a clip of a speaker, made if it is not there."""
    speaker, id = SPEAKERS[name], f"{name.lower()}{number:02d}"
    clip = Clip(id, folder / f"{id}.mp4", folder / f"{id}.wav", speaker=name)
    if clip.audio.exists():
        return clip
    folder.mkdir(parents=True, exist_ok=True)
    rng, drawn = np.random.default_rng([seed, number, 0]), np.random.default_rng([seed, number, 2])
    words = text.sentence(rng)
    voice = articulation.Voice.draw(rng)
    voice = dataclasses.replace(voice, pitch=voice.pitch + speaker.pitch)
    segments = text.segments(words, rng, voice.tempo)
    spoken = articulation.speak(segments, voice, np.random.default_rng([seed, number, 1]))
    outlines = map(articulation.outlines, spoken.tract)
    frames = picture.film(outlines, articulation.glottal_width(spoken.glottis), picture.Pose.draw(drawn), drawn)
    rate = Fraction(articulation.SAMPLING_RATE, articulation.HOP_LENGTH)
    write_video(clip.video, map(speaker.seen, frames), rate, crf=21)
    write_wav(clip.audio, speaker.heard(spoken.audio), articulation.SAMPLING_RATE)
    return clip


def make_dataset(directory: Path, counts: dict[str, int], names: tuple[str, ...], spec: MelSpec) -> Path:
    """Return a processed directory of the speakers ``names``, each with ``counts`` clips of each part."""
    made = directory / f"dataset_{''.join(names)}"
    clips, splits = {}, {part: [] for part in PARTS}
    for name in names:
        numbers = iter(range(100))
        for part in PARTS:
            for number in [next(numbers) for _ in range(counts[part])]:
                clip = make_clip(directory / "recordings", name, number, 900 + SPEAKERS[name].seed)
                clips[clip.id] = clip
                splits[part].append(clip.id)
    if not (made / "meta.json").exists():
        Processing(made, DatasetSettings(spec, SIZE)).everything(clips, splits)
    return made


def trained(run: Path, processed: Path, acoustic: object, seed: int, **changed: object) -> tuple[Path, float]:
    """Return the checkpoint of a training, made if it is not there, and its CPU seconds (of this call)."""
    values = {field.name: getattr(acoustic, field.name) for field, _ in fields_of(Training)}
    values |= {"seed": seed, "picture_epochs": 0, "pitch": False, **changed}
    places = {"out_ckpt": run / "model.pt", "log_dir": run / "logs", "state_dir": run / "state"}
    begun = time.process_time()
    if train(TrainingSettings(**values, processed_dir=processed, device="cpu", **places)):
        raise SystemExit(f"{run}: stopped")
    return places["out_ckpt"], time.process_time() - begun


def errors(checkpoint: Path, processed: Path, ids: list[str], spec: MelSpec) -> list[np.ndarray]:
    """Return the squared errors in dB over the speech frames of each clip."""
    bundle = load_acoustic_model(checkpoint, "cpu")
    speakers = clip_speakers(processed, ids, bundle.speakers)
    found = []
    for id in ids:
        clip = open_sample(processed, id)
        speech = spoken_frames(processed, clip, spec) & (clip.sound_mask > 0)
        predicted = predict_db(bundle.spoken_by(speakers[id]), clip.mri, "window")
        found.append(((predicted - clip.mel_db) ** 2)[speech].ravel())
    return found


def main() -> None:
    """Make the corpus, train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True, help="where recordings and trainings are kept")
    parser.add_argument("--clips", type=int, nargs=3, default=(16, 4, 8), help="of each speaker, by part")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only_make", action="store_true", help="make the recordings and train nothing")
    args = parser.parse_args()
    limit_threads(1)
    acoustic = load_configuration(read_settings("config/config.yaml")).acoustic
    spec, counts = MelSpec.preset("hifigan"), dict(zip(PARTS, args.clips, strict=True))
    last = list(SPEAKERS)[-1]
    everyone, one = (make_dataset(args.directory, counts, names, spec) for names in (tuple(SPEAKERS), (last,)))
    if args.only_make:
        return
    runs: dict[str, tuple[Path, dict[str, Any]]] = {
        "all speakers": (everyone, {}),
        "all speakers, statistics by speaker": (everyone, {"speaker_statistics": True}),
        "all speakers, embedding": (everyone, {"speaker_embedding": 8}),
        f"{last} alone": (one, {}),
        f"{last}, from all speakers": (one, {"resume_ckpt": "all speakers"}),
        f"{last}, from all speakers with statistics": (one, {"resume_ckpt": "all speakers, statistics by speaker"}),
        "all speakers, statistics and embedding": (everyone, {"speaker_statistics": True, "speaker_embedding": 8}),
    }
    rows: dict[str, list[dict[tuple[str, str], float]]] = {title: [] for title in runs}
    made: dict[tuple[str, int], Path] = {}
    for title, (processed, changed) in runs.items():
        for seed in range(args.seeds):
            own = {"epochs": args.epochs, **changed}
            if "resume_ckpt" in own:
                # Epochs are counted on from the checkpoint's.
                own |= {"epochs": 2 * args.epochs, "resume_ckpt": made[own["resume_ckpt"], seed]}
            run = args.directory / "runs" / title.replace(",", "").replace(" ", "_") / f"seed{seed}"
            made[title, seed], seconds = trained(run, processed, acoustic, seed, **own)
            found = {}
            for name in SPEAKERS if processed == everyone else (last,):
                numbers = range(counts["training"], sum(counts.values()))
                squares = errors(made[title, seed], processed, [f"{name.lower()}{n:02d}" for n in numbers], spec)
                cut = counts["validation"]
                for part, some in (("validation", squares[:cut]), ("test", squares[cut:])):
                    found[part, name] = float(np.sqrt(np.concatenate(some).mean()))
            rows[title].append(found)
            shown = {" ".join(key): round(value, 2) for key, value in found.items()}
            print(f"{title}, seed {seed}: {shown}, {seconds:.0f} CPU s.", flush=True)
    columns = [(part, name) for part in ("validation", "test") for name in SPEAKERS]
    cells = [
        [title, *(_cell([one[key] for one in found if key in one]) for key in columns)] for title, found in rows.items()
    ]
    print(markdown_table(["", *(f"{part}: {name}, dB ↓" for part, name in columns)], cells))


def _cell(values: list[float]) -> str:
    return f"{np.mean(values):.2f} ({min(values):.2f} – {max(values):.2f})" if values else "–"


if __name__ == "__main__":
    main()

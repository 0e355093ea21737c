"""A small experiment that was never trained: real files, made-up scores, for the page's tests."""

import json
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.evaluation.metrics import summarise
from rtmri_speech.evaluation.systems import TITLES, write_scores
from rtmri_speech.report.page import Experiment
from rtmri_speech.signal.audio import write_wav
from rtmri_speech.signal.mel import MelSpec

SPEC = MelSpec.preset("hifigan", n_fft=512, win_length=512, n_mels=12)

ROWS = ["sequence", "floor", "ceiling"]
METRICS = ["estoi", "mel_mse", "lag_ms"]
HOSTILE = 'she said </script><b>"&amp;'


def made_up_scores(ids, spec, seed=0, rows=ROWS):
    """Scores of every metric and clip, drawn at random; the first clip has no ESTOI."""
    rng = np.random.default_rng(seed)
    clips = {row: {id: {metric: round(float(rng.normal()), 4) for metric in METRICS} for id in ids} for row in rows}
    summaries = {row: summarise(values.values()) for row, values in clips.items()}
    for row in rows:
        clips[row][ids[0]]["estoi"] = None
    return {
        "configured": rows[0],
        "clips": {id: {"seconds": 2.0} for id in ids},
        "rows": {
            row: {"title": TITLES[row][0], "note": TITLES[row][1], "clips": clips[row], "summary": summaries[row]}
            for row in rows
        },
        "mel_mse_by_bin": {
            "frequencies_hz": spec.centre_frequencies().tolist(),
            "rows": {row: rng.uniform(0.1, 1, spec.n_mels).tolist() for row in rows},
        },
        "mel_mse_by_phoneme": {"a": {"frames": 9, "rows": dict.fromkeys(rows, 0.5)}},
        "settings": {
            "vocoder": "g_00000100",
            "base_vocoder": None,
            "f0_range_hz": [77.0, 170.0],
            "libraries": {"numpy": np.__version__},
        },
    }


def make_experiment(directory: Path, make_processed, spec) -> Experiment:
    """Three test clips of two seconds and the files that an evaluation leaves."""
    processed = make_processed(
        directory / "processed",
        lengths=(("training", (13,)), ("validation", (9,)), ("test", (54, 54, 54))),
        spec=spec,
    )
    ids = ["a2", "a3", "a4"]
    scores = made_up_scores(ids, spec)
    rng = np.random.default_rng(0)
    for id in ids:
        samples = len(open_sample(processed, id).mri) * 420
        scores["clips"][id]["seconds"] = samples / 11413
        for wav in [processed / "wavs", *(directory / "evaluation" / "sounds" / row for row in ROWS)]:
            write_wav(wav / f"{id}.wav", 0.1 * rng.normal(size=samples), 11413)
    write_scores(directory / "evaluation", scores)
    phonemes = directory / "phonemes"
    phonemes.mkdir()
    spoken = [{"phoneme": "a", "start": 0, "end": 0.9}, {"phoneme": "", "start": 0.9, "end": 2}]
    (phonemes / "a2.json").write_text(json.dumps({"text": HOSTILE, "phonemes": spoken}))
    film = directory / "gradcam" / "a2" / "gradcam_F1_overlay.mp4"
    film.parent.mkdir(parents=True)
    film.write_bytes(b"no film, but a file")
    with SummaryWriter(str(directory / "logs")) as log:
        for epoch in range(1, 6):
            log.add_scalar("metrics/val_mse", 1 / epoch, epoch)
    (directory / "benchmarks" / "prepare_clip").mkdir(parents=True)
    for name, row in (("prepare_clip/a2", "1.5\t0:00:01\t80.5\t0.5"), ("prepare_clip/a3", "2\t0:00:02\tNA\tNA")):
        (directory / "benchmarks" / f"{name}.tsv").write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{row}\n")
    (directory / "benchmarks" / "train_acoustic.tsv").write_text(
        "s\th:m:s\tmax_rss\tcpu_time\n7200\t2:00:00\t900\t9000\n"
    )
    return Experiment(
        processed,
        directory / "evaluation",
        {"acoustic": directory / "logs", "vocoder": directory / "nothing"},
        directory / "gradcam",
        phonemes,
        directory / "benchmarks",
        {"corpus": {"source": "directories"}, "note": "<i>名前</i>"},
    )

"""Entry points for user files: a small valid file of each kind, and the call that reads it as in the scripts.

A `Kind` names a file among those that `write_good_files` writes, and a function that reads it as the scripts do.
"""

import dataclasses
import functools
import importlib.util
import io
import itertools
import json
import shutil
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import yaml
from corpus_entry_points import CORPUS_KINDS, write_corpus_files
from corrupt import NUMBERS_BEYOND_JSON, PLAIN_VALUES, YAML_VALUES
from hypothesis import strategies as st
from kinds import Kind, run_script_here

from rtmri_speech.dataset.clip import COLUMNS
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.systems import scores_csv

TESTS = Path(__file__).parents[1]
RATE = Fraction(11413, 420)
FRAMES = 24


def _module(path: Path) -> Any:
    """Import a module of another tests directory."""
    spec = importlib.util.spec_from_file_location(f"good_files_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tiny_models = _module(TESTS / "tiny_models.py")
make_processed = _module(TESTS / "conftest.py").make_processed
SPEC, SIZE = tiny_models.SPEC, tiny_models.SIZE


# ---- sound files of every kind ----


def write_good_files(directory: Path) -> Path:
    """Write a small valid file of every kind into ``directory``; deterministic."""
    from safetensors.torch import save_file

    from rtmri_speech.acoustic.model import AcousticModel, Network
    from rtmri_speech.signal.audio import write_wav
    from rtmri_speech.signal.video import write_video
    from rtmri_speech.vocoder.config import CONFIG_NAME, read_config, write_config

    rng = np.random.default_rng(0)
    sound = (0.3 * np.sin(np.arange(FRAMES * 420) / 7) + 0.01 * rng.normal(size=FRAMES * 420)).astype(np.float32)
    media = directory / "media"
    media.mkdir(parents=True)
    pictures = tiny_models.moving_bar(FRAMES, size=(48, 48))
    write_video(media / "a.mp4", pictures, RATE, sound, 11413)
    _write_avi(media / "a.avi", pictures)
    write_wav(media / "a.wav", sound, 11413)
    soundfile.write(media / "a.flac", sound, 11413)
    twice = sound.repeat(2)
    soundfile.write(media / "a.ogg", twice, 22050, format="OGG", subtype="VORBIS")
    soundfile.write(media / "float.wav", np.stack([twice, twice], 1), 22826, subtype="FLOAT")

    tables = directory / "tables"
    tables.mkdir()
    rows = ["\t".join(COLUMNS)]
    files = "../media/a.mp4\t../media/a.wav"
    rows += [f"clip{n}\t{files}\t0.1\t0.5\t{n}\t\tone {n}\tspeaker\tsaid\t1\ta0.TextGrid" for n in range(3)]
    (tables / "clips.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (tables / "training.txt").write_text("a0|dummy|dummy\na1|dummy|dummy\na2|x|y\n", encoding="utf-8")
    polygon = [[8, 84], [43, 84], [45, 156], [8, 156]]
    _json(tables / "polygons.json", [polygon])
    _json(tables / "regions.json", {"tract": {"lips": polygon, "tongue": polygon}, "rest": {"nose": polygon}})
    _json(tables / "a0.json", {"text": "a", "phonemes": [{"phoneme": "a", "start": 0, "end": 0.2}] * 3})
    (tables / "a0.TextGrid").write_text(_TEXTGRID, encoding="utf-8")
    settings = {
        "results": "results",
        "corpus": {"source": "directories", "videos": "videos", "exclude": ["x"]},
        "split": {"seed": 1, "named": {"test": ["a"], "validation": ["b"]}},
        "video": {"size": [64, 64], "resampling": "mean"},
        "mel": {"n_fft": 1024, "n_mels": 32},
        "bands": {"F1": [300, 900], "F2": [900.0, 2500.0]},
        "acoustic": {"epochs": 3, "loss": {"delta": [0.1, 0.2], "bands": {"f0": [0, 2.0]}}},
        "synthesis": {"masks": {"lip": {"type": "lip", "alpha": 0.5}}},
        "explain": {"intervals": ["first2s"], "target_frames": [1]},
    }
    (tables / "settings.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    _json(tables / "shown_settings.json", settings)
    record = {
        "stage": "acoustic",
        "made_by": [{"from_step": 0, "code": {"version": "0.1", "commit": None, "stage": "abc"}, "settings": {}}],
        "seed": 1,
        "inputs": {"scaler.json": "0" * 64},
        "clips": {"files": ["x"], "sha256": {"a0": "1" * 64}},
    }
    _json(tables / "provenance.json", record)

    processed = make_processed(directory / "processed", spec=SPEC)
    for sample in (processed / "samples").iterdir():
        mel_db = np.load(sample / "mel_db.npy")
        write_wav(processed / "wavs" / f"{sample.name}.wav", sound[: len(mel_db) * 420], 11413)
        (processed / "mels").mkdir(exist_ok=True)
        np.save(processed / "mels" / f"{sample.name}.npy", SPEC.log_from_db(mel_db).T.astype(np.float32))
    _write_lab(directory / "lab", processed)
    _write_gradcam(directory / "gradcam" / "a0", len(np.load(processed / "samples" / "a0" / "mri.npy")), rng)
    report = _module(TESTS / "report" / "report_experiment.py")
    scores = report.made_up_scores(["a4", "a5"], SPEC)
    _json(directory / "evaluation" / "scores.json", scores)
    (directory / "evaluation" / "scores.csv").write_text(scores_csv(scores), encoding="utf-8")
    for row, id in itertools.product(report.ROWS, ("a4", "a5")):
        write_wav(directory / "evaluation" / "sounds" / row / f"{id}.wav", sound[: 8 * 420], 11413)

    tiny_models.write_acoustic(directory / "models" / "mri_acoustic_model.pt")
    tiny_models.write_vocoder(directory / "models" / "g_00000000")
    config = read_config(directory / "models")
    write_config(
        directory / "models" / CONFIG_NAME, dataclasses.replace(config, mpd_divisor=32, msd_divisor=32, batch_size=2)
    )
    backbone = AcousticModel(Network("test_efficientnet", rnn_hidden=8)).cnn.backbone.state_dict()
    torch.save(backbone, directory / "models" / "backbone.pth")
    save_file(backbone, directory / "models" / "backbone.safetensors")
    _write_trained(directory, processed)
    write_corpus_files(directory, scores, record, sound)
    return directory


def _json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _write_avi(path: Path, pictures: np.ndarray) -> None:
    """Motion JPEG, as cameras write it."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=RATE.limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = pictures.shape[2], pictures.shape[1], "yuvj420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "gray").reformat(format="yuvj420p")))
        container.mux(stream.encode(None))


_TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.3
            text = "a"
        intervals [2]:
            xmin = 0.3
            xmax = 1
            text = "sil"
"""


def _write_lab(directory: Path, processed: Path) -> None:
    """One clip's windows as the old system stored them, in each of its two layouts."""
    mri = np.load(processed / "samples" / "a0" / "mri.npy").astype(np.float32)[:, None, ::4, ::4] / 255
    mel = np.load(processed / "samples" / "a0" / "mel_db.npy")
    starts = range(len(mri) - 3)
    windows = {
        "mri": np.stack([mri[t : t + 4] for t in starts]),
        "mel": np.stack([mel[t : t + 4] for t in starts]),
        "mask": np.ones((len(starts), 4), np.float32),
    }
    for layout in ("npz", "npy"):
        (directory / layout).mkdir(parents=True)
        shutil.copy(processed / "scaler.json", directory / layout)
    (directory / "npz" / "pairs_ref4").mkdir()
    np.savez_compressed(directory / "npz" / "pairs_ref4" / "000.npz", **windows)
    (directory / "npy" / "pairs_ref4_npy" / "000").mkdir(parents=True)
    for name, array in windows.items():
        np.save(directory / "npy" / "pairs_ref4_npy" / "000" / f"{name}.npy", array)


def _write_gradcam(directory: Path, frames: int, rng: np.random.Generator) -> None:
    from rtmri_speech.explain.sequences import facts_path, sequence_path, write_sequence

    directory.mkdir(parents=True)
    maps = rng.gamma(1, 1, (frames, 4, 4)).astype(np.float32)
    scale = write_sequence(sequence_path(directory, "F1"), maps, size=(256, 256))
    facts = {"clip": "a0", "band": "F1", "frames": frames, "frame_rate": str(RATE), **scale}
    _json(facts_path(directory, "F1"), facts)


def _write_trained(directory: Path, processed: Path) -> None:
    """Checkpoints as both trainings leave them after two steps."""
    from rtmri_speech.acoustic.train import train as train_acoustic

    train_acoustic(acoustic_settings(processed, directory / "acoustic", epochs=2))
    _train_vocoder(processed, directory / "models" / "config.json", directory / "vocoder", steps=2)


def acoustic_settings(processed: Path, run: Path, **changed: Any) -> Any:
    """A training of the mel generator that takes a step an epoch, but for what is ``changed``."""
    from rtmri_speech.acoustic.train import TrainingSettings
    from rtmri_speech.settings.acoustic import Loss

    usual: dict[str, Any] = {
        "processed_dir": processed,
        "out_ckpt": run / "model.pt",
        "log_dir": run / "logs",
        "state_dir": run / "state",
        "backbone": "test_efficientnet",
        "rnn_hidden": 8,
        "cnn_pretrained": False,
        "num_workers": 0,
        "loss": Loss(ramp_steps=10),
        "stretch": 4,
        "epochs": 1,
        "batch_size": 2,
        "max_train_steps": 1,
        "max_val_steps": 1,
        "picture_epochs": 0,
        "device": "cpu",
        "wait": False,
    }
    return TrainingSettings(**usual | changed)


def _train_vocoder(processed: Path, config: Path, run: Path, steps: int, base: Path | None = None) -> None:
    from rtmri_speech.vocoder.config import read_config
    from rtmri_speech.vocoder.data import open_clips
    from rtmri_speech.vocoder.train import Run, train

    settings = read_config(config)
    parts = [
        open_clips(
            processed / "hifigan_filelists" / f"{part}.txt",
            processed / "wavs",
            settings,
            mels_dir=processed / "mels",
        )
        for part in ("training", "validation")
    ]
    intervals = {"checkpoint_interval": 2, "validation_interval": 2, "summary_interval": 100}
    places = {"directory": run / "out", "state_directory": run / "state"}
    where = Run(**places, steps=steps, epochs=1, base=base, new_rate=False, device="cpu", wait=False, **intervals)
    train(settings, *parts, where)


# ---- what is done with each ----


def _read_video(resampling: str, start: float | None = None, end: float | None = None) -> Callable[[Path, Path], None]:
    return functools.partial(_frames_of, resampling=resampling, start=start, end=end)


def _frames_of(file: Path, results: Path, resampling: str, start: float | None, end: float | None) -> None:
    from rtmri_speech.dataset.clip import Clip
    from rtmri_speech.dataset.frames import write_frames

    write_frames(results / "mri.npy", Clip("a", file, start=start, end=end), RATE, (32, 32), resampling, 11413)


def _normalise_video(file: Path, results: Path) -> None:
    from rtmri_speech.dataset.normalize import normalise_video

    normalise_video(file, results / "a.mp4", size=(32, 32))


def _read_sound(file: Path, results: Path) -> None:
    from rtmri_speech.dataset.clip import Clip
    from rtmri_speech.dataset.sound import write_sound

    (results / "samples" / "a").mkdir(parents=True)
    np.save(results / "samples" / "a" / "mri.npy", np.zeros((FRAMES, 8, 8), np.uint8))
    write_sound(results, Clip("a", file, file, av_offset_ms=15), SPEC)


def _score_sound(file: Path, results: Path) -> None:
    from rtmri_speech.evaluation.scores import read_pair

    read_pair(file.with_name("a.flac"), file, 11413, [])


def _train_on(file: Path, results: Path) -> None:
    """Read a processed directory, of which a file is damaged, as the training of the mel generator does."""
    from rtmri_speech.acoustic.predict import load_acoustic_model, predict_db
    from rtmri_speech.dataset.filelists import read_filelist
    from rtmri_speech.dataset.meta import load_mel_spec
    from rtmri_speech.dataset.sample import open_sample
    from rtmri_speech.dataset.scaler import Scaler

    processed = next(parent for parent in file.parents if parent.name == "processed")
    ids = read_filelist(processed / "hifigan_filelists" / "training.txt")
    spec = load_mel_spec(processed)
    Scaler.of(open_sample(processed, id) for id in ids).save(results / "scaler.json")
    bundle = load_acoustic_model(processed.parent / "models" / "mri_acoustic_model.pt", "cpu", mel=spec)
    predict_db(bundle, open_sample(processed, "a0").mri)
    from rtmri_speech.acoustic.train import train

    train(acoustic_settings(processed, results / "run"))


def _train_vocoder_on(file: Path, results: Path) -> None:
    processed = next(parent for parent in file.parents if parent.name == "processed")
    _train_vocoder(processed, processed.parent / "models" / "config.json", results, steps=1)


def _restore_lab(file: Path, results: Path) -> None:
    from rtmri_speech.takeover.lab_dataset import restore_samples

    layout = next(parent for parent in file.parents if parent.parent.name == "lab")
    # It writes beside what it reads.
    shutil.copytree(layout, results / "processed")
    try:
        restore_samples(results / "processed")
    except UserError as error:
        subject = error.subject.replace(str(results / "processed"), str(layout))
        raise UserError(subject, error.fault, error.remedy) from None


def _aggregate(file: Path, results: Path) -> None:
    from rtmri_speech.explain.aggregate import aggregate
    from rtmri_speech.explain.regions import Regions

    good = next(parent for parent in file.parents if (parent / "processed").is_dir())
    tables = good / "tables"
    aggregate(
        good / "gradcam",
        good / "processed",
        ["a0"],
        ["F1"],
        results / "aggregate",
        phoneme_dir=tables if file.parent == tables else None,
        regions=Regions.read(tables / "regions.json"),
    )


def _mask(file: Path, results: Path) -> None:
    from rtmri_speech.explain.masking import mask_weight, masked, read_polygons

    list(masked(np.zeros((2, 48, 48), np.uint8), mask_weight(read_polygons(file), (48, 48))))


def _read_table(file: Path, results: Path) -> None:
    from rtmri_speech.dataset.clip import clips_from_table

    for clip in itertools.islice(clips_from_table(file).values(), 3):
        if clip.audio is not None:
            (results / "samples" / clip.id).mkdir(parents=True)
        if clip.video.is_file():
            from rtmri_speech.dataset.frames import write_frames

            write_frames(results / "samples" / clip.id / "mri.npy", clip, RATE, (32, 32), "nearest")


def _read_list(file: Path, results: Path) -> None:
    from rtmri_speech.dataset.filelists import read_filelist

    for id in read_filelist(file):
        (results / f"{id}.npy").write_bytes(b"")


def _configure(file: Path, results: Path) -> None:
    """Process settings like the Snakefile does."""
    from rtmri_speech.configuration import load_configuration
    from rtmri_speech.settings.fields import plain

    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError):
        return  # Snakemake's own reader says so.
    if isinstance(settings, dict):
        # Rules make words, paths and flags of names.
        assert _has_names(plain(load_configuration(settings)))


def _has_names(value: Any) -> bool:
    """Whether all keys are words."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _has_names(inner) for key, inner in value.items())
    return all(map(_has_names, value)) if isinstance(value, list) else True


def _report(file: Path, results: Path) -> None:
    good = file.parents[1]
    script = ["make_report.py", "--processed_dir", good / "processed", "--evaluation", good / "evaluation"]
    script += ["--output_dir", results / "report", "--settings", good / "tables" / "shown_settings.json"]
    run_script_here(*script, "--provenance", good / "tables" / "provenance.json")


def _speak(file: Path, results: Path) -> None:
    from rtmri_speech.acoustic.predict import load_acoustic_model, predict_db

    predict_db(load_acoustic_model(file, "cpu"), tiny_models.moving_bar(6))


def _vocode(file: Path, results: Path) -> None:
    from rtmri_speech.vocoder.engine import load_vocoder

    checkpoint = file.with_name("g_00000000") if file.suffix == ".json" else file
    config = file.parent / "config.json"
    load_vocoder(checkpoint, config).synthesise(np.full((16, 5), -4, np.float32))


def _begin_acoustic(file: Path, results: Path) -> None:
    """Begin from a checkpoint (--resume_ckpt)."""
    from rtmri_speech.acoustic.train import train

    train(acoustic_settings(file.parents[1] / "processed", results / "new", epochs=4, resume_ckpt=file))


def _begin_backbone(file: Path, results: Path) -> None:
    """Begin with a backbone's weights from a file (--cnn_pretrained FILE)."""
    from rtmri_speech.acoustic.model import AcousticModel, Network, load_pretrained_backbone

    load_pretrained_backbone(AcousticModel(Network("test_efficientnet", rnn_hidden=8)), file)


def _begin_vocoder(file: Path, results: Path) -> None:
    """Fine-tune a base, of whose two files one is damaged."""
    good = file.parents[2]
    base = file.with_name(file.name.replace("do_", "g_"))
    _train_vocoder(good / "processed", good / "models" / "config.json", results, steps=3, base=base)


# ---- structures in files ----


def _read_json(data: bytes) -> Any:
    return json.loads(data)


def _write_json(content: Any) -> bytes:
    return json.dumps(content).encode()


def _read_torch(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), weights_only=True)


def _write_torch(content: Any) -> bytes:
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


def _write_yaml(content: Any) -> bytes:
    return yaml.dump(content).encode()


def _read_npz(data: bytes) -> Any:
    with np.load(io.BytesIO(data)) as stored:
        return dict(stored)


def _write_npz(content: Any) -> bytes:
    out = io.BytesIO()
    if not isinstance(content, dict):
        np.save(out, np.array(str(content)))
        return out.getvalue()
    with zipfile.ZipFile(out, "w") as file:
        for name, value in content.items():
            with file.open(f"{name}.npy".replace("\0", "0"), "w") as member:
                np.save(member, _array(value), allow_pickle=True)
    return out.getvalue()


def _array(value: Any) -> np.ndarray:
    return value if isinstance(value, np.ndarray) else np.array(str(value))


def _read_npy(data: bytes) -> Any:
    return {"array": np.load(io.BytesIO(data))}


def _write_npy(content: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, _array(content.get("array") if isinstance(content, dict) else content), allow_pickle=True)
    return out.getvalue()


ARRAYS = st.sampled_from(
    (
        np.zeros((0, 16), np.float32),
        np.zeros((13, 32, 32), np.float64),
        np.full((13, 32, 32), np.nan, np.float32),
        np.full((13, 16), np.inf, np.float32),
        np.full((13, 16), -1e38, np.float32),
        np.zeros((13, 16), np.complex64),
        np.zeros((13, 16), "U5"),
        np.zeros((13, 16), "M8[s]"),
        np.zeros((13, 16), bool),
        np.zeros((13, 16), np.int64),
        np.zeros((16, 13), np.float32),
        np.zeros((13, 16, 1), np.float32),
        np.zeros(13, np.float32),
        np.full(13, np.nan, np.float32),
        np.zeros((), np.float32),
        np.array([{}, None], object),
        np.full((13, 32, 32), 10**6, np.int32),
        np.full((30, 2), -1, np.int32),
        np.full((30, 2), 10**6, np.int32),
        np.zeros((30, 2), np.float64),
        np.zeros(3, [("a", "i4"), ("b", "f4")]),
        np.zeros((13, 1, 1), np.uint8),
        np.zeros((13, 0, 0), np.uint8),
        np.full((13, 32, 32), 200, np.uint16),
        np.zeros((13, 32, 32), ">f4"),
        np.asfortranarray(np.zeros((13, 32, 32), np.uint8)),
    )
)


TENSORS = st.one_of(
    PLAIN_VALUES,
    NUMBERS_BEYOND_JSON,
    st.sampled_from(
        (
            torch.zeros(0),
            torch.zeros(()),
            torch.zeros(3, 3, dtype=torch.int64),
            torch.full((8,), float("nan")),
            torch.zeros(16, dtype=torch.complex64),
            torch.zeros(16, dtype=torch.float64),
            torch.zeros(16, dtype=torch.bool),
            torch.zeros(16, dtype=torch.float16),
            torch.zeros(4, 4).to_sparse(),
            torch.zeros(16, device="meta"),
            torch.zeros(16).to(torch.float8_e4m3fn),
            torch.zeros(1).expand(1000, 1000),
            torch.nn.Parameter(torch.zeros(16)),
        )
    ),
)


KINDS = [
    Kind("mp4, refusing other rates", "media/a.mp4", _read_video("refuse"), 3),
    Kind("mp4, nearest frame", "media/a.mp4", _read_video("nearest"), 2),
    Kind("mp4, mean of frames", "media/a.mp4", _read_video("mean", 0.1, 0.6), 2),
    Kind("mp4 to be normalised", "media/a.mp4", _normalise_video, 1),
    Kind("avi", "media/a.avi", _read_video("nearest"), 2),
    Kind("avi, cut", "media/a.avi", _read_video("refuse", 0.1, 0.6), 1),
    Kind("wav", "media/a.wav", _read_sound, 3),
    Kind("wav of floats, two channels", "media/float.wav", _read_sound, 2),
    Kind("wav to be scored", "media/a.wav", _score_sound, 1),
    Kind("flac", "media/a.flac", _read_sound, 1),
    Kind("ogg", "media/a.ogg", _read_sound, 1),
    Kind("mp4's sound", "media/a.mp4", _read_sound, 1),
    *(
        Kind(f"npy, {name}", f"processed/{path}", _train_on, share, _read_npy, _write_npy, ARRAYS)
        for name, path, share in (
            ("frames", "samples/a0/mri.npy", 1.5),
            ("mel", "samples/a0/mel_db.npy", 1),
            ("mask", "samples/a0/mask.npy", 1),
            ("window starts", "pairs_ref4_npy/training.npy", 1),
        )
    ),
    Kind("npy, exported mel", "processed/mels/a0.npy", _train_vocoder_on, 1, _read_npy, _write_npy, ARRAYS),
    Kind("wav to be trained on", "processed/wavs/a0.wav", _train_vocoder_on, 1),
    Kind("npy, Grad-CAM", "gradcam/a0/gradcam_F1_sequence.npy", _aggregate, 1, _read_npy, _write_npy, ARRAYS),
    Kind("npz of the lab", "lab/npz/pairs_ref4/000.npz", _restore_lab, 2, _read_npz, _write_npz, ARRAYS),
    Kind("npy of the lab", "lab/npy/pairs_ref4_npy/000/mri.npy", _restore_lab, 1, _read_npy, _write_npy, ARRAYS),
    *(
        Kind(f"json, {name}", file, read, share, _read_json, _write_json, st.one_of(PLAIN_VALUES, NUMBERS_BEYOND_JSON))
        for name, file, read, share in (
            ("meta", "processed/meta.json", _train_on, 2),
            ("scaler", "processed/scaler.json", _train_on, 1.5),
            ("HiFi-GAN's config", "models/config.json", _vocode, 3),
            ("polygons", "tables/polygons.json", _mask, 1),
            ("regions", "tables/regions.json", _aggregate, 1.5),
            ("phonemes", "tables/a0.json", _aggregate, 1.5),
            ("Grad-CAM's scale", "gradcam/a0/gradcam_F1.json", _aggregate, 1.5),
            ("scores", "evaluation/scores.json", _report, 1),
            ("settings to be shown", "tables/shown_settings.json", _report, 0.5),
        )
    ),
    Kind("TextGrid", "tables/a0.TextGrid", _aggregate, 1.5),
    Kind("TSV of clips", "tables/clips.tsv", _read_table, 3),
    Kind("file list", "tables/training.txt", _read_list, 1),
    Kind("yaml", "tables/settings.yaml", _configure, 6, yaml.safe_load, _write_yaml, YAML_VALUES, False),
    *(
        Kind(f"checkpoint, {name}", file, read, share, _read_torch, _write_torch, TENSORS)
        for name, file, read, share in (
            ("mel generator", "models/mri_acoustic_model.pt", _speak, 3),
            ("mel generator to go on with", "acoustic/model.pt", _begin_acoustic, 1.5),
            ("generator", "models/g_00000000", _vocode, 2),
            ("generator to go on with", "vocoder/out/g_00000002", _begin_vocoder, 1),
            ("discriminators to go on with", "vocoder/out/do_00000002", _begin_vocoder, 1.5),
            ("backbone", "models/backbone.pth", _begin_backbone, 1),
        )
    ),
    Kind("checkpoint, backbone in safetensors", "models/backbone.safetensors", _begin_backbone, 1),
    *CORPUS_KINDS,
]

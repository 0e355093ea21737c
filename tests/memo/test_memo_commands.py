"""Each command of the memo, pasted with only its paths changed, on clips of the demo corpus: one machine, its order.

The trainings get step limits, Grad-CAM the processor where there is no GPU, TensorBoard a free port. What the memo has
in files and not in commands is small: four clips, and the demo's vocoder as the base and in ``config_custom.json``.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from memo_commands import (
    COMMANDS,
    CONVERT,
    EXPORT,
    FILELISTS,
    FINE_TUNE,
    GRADCAM,
    INFER,
    OVERLAY_FILM,
    PATHS,
    PREPROCESS,
    ROOT,
    SLOW_FILM,
    TENSORBOARD_ACOUSTIC,
    TENSORBOARD_VOCODER,
    TRAIN_ACOUSTIC,
    pasted,
)

pytestmark = pytest.mark.slow

MEMO = ROOT.parent / "shared" / "reference" / "memo_ja.md"
HUB_MODEL = "tf_efficientnetv2_b2"
SOURCES = {"000": (1, 4), "006": (6,), "008": (8,), "014": (14,)}
"""Demo clips by the id they have here. The memo draws frame 120 of its clip 000: ours is two of them joined."""

SPLITS = {"training": ["000", "006"], "validation": ["014"], "test": ["008"]}
"""Where the memo's seed and ratio put these ids."""


class Machine:
    """The memo's ``C:\\Users\\Yamane``; commands run in ``hifi-gan``, as after the memo's ``cd``."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.hifi_gan = place / "hifi-gan"
        self.recordings = place / "山根研究用"
        self.processed = self.hifi_gan / "dataset" / "rtmri_normalized_processed"
        self.checkpoints = self.hifi_gan / "checkpoints"
        self.output = self.hifi_gan / "output"
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "src"),
            # The hub is what was fetched from it before: `hub_cache` puts it there.
            "HF_HOME": str(place / "hub"),
            "HF_HUB_OFFLINE": "1",
        }

    def run(self, command: str, *appended: str, filled: tuple[str, ...] = (), code: int = 0) -> str:
        """Run a command of the memo and return its output."""
        done = subprocess.run(
            [*pasted(command, self.place, filled), *appended],
            cwd=self.hifi_gan,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def samples(self, name: str) -> dict[str, np.ndarray]:
        return {id: np.load(self.processed / "samples" / id / f"{name}.npy") for id in SOURCES}

    def frames(self, id: str) -> int:
        return len(self.samples("mask")[id])


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Machine:
    """The demo's clips as the memo's normalised videos and wavs, under the lab's Japanese directory."""
    machine = Machine(tmp_path_factory.mktemp("memo") / "Yamane")
    machine.hifi_gan.mkdir(parents=True)
    for id, numbers in SOURCES.items():
        join_demo_clips(machine.recordings, id, numbers)
    return machine


def join_demo_clips(recordings: Path, id: str, numbers: tuple[int, ...]) -> None:
    from rtmri_speech.demo.corpus import make_clip
    from rtmri_speech.signal.audio import write_wav
    from rtmri_speech.signal.video import read_frames, write_video

    parts = recordings / "parts"
    for number in numbers:
        make_clip(number, 503, parts / f"{number}.mp4", parts / f"{number}.wav", parts / f"{number}.json")
    for name in ("normalized_videos", "audio_wav"):
        (recordings / name).mkdir(parents=True, exist_ok=True)
    video, wav = recordings / "normalized_videos" / f"{id}.mp4", recordings / "audio_wav" / f"{id}.wav"
    if len(numbers) == 1:
        shutil.copy(parts / f"{numbers[0]}.mp4", video)
        shutil.copy(parts / f"{numbers[0]}.wav", wav)
        return
    frames = [frame for number in numbers for frame in read_frames(parts / f"{number}.mp4")]
    write_video(video, np.stack(frames), Fraction(11413, 420))
    write_wav(wav, np.concatenate([soundfile.read(parts / f"{number}.wav")[0] for number in numbers]), 11413)


@pytest.fixture(scope="module")
def dataset(machine) -> Machine:
    machine.said = machine.run(PREPROCESS)
    return machine


@pytest.fixture(scope="module")
def hub_cache(machine) -> dict[str, torch.Tensor]:
    """What timm's hub would have sent, as it lies on a machine that has fetched it before, with random numbers."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(7)
    weights = {name: tensor.contiguous() for name, tensor in timm.create_model(HUB_MODEL).state_dict().items()}
    model = machine.place / "hub" / "hub" / f"models--timm--{HUB_MODEL}.in1k"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("0" * 40, encoding="ascii")
    snapshot = model / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    save_file(weights, snapshot / "model.safetensors")
    return weights


@pytest.fixture(scope="module")
def mel_generator(dataset, hub_cache) -> Machine:
    limits = ("--epochs", "1", "--max_train_steps", "1", "--max_val_steps", "1")
    dataset.said = dataset.run(TRAIN_ACOUSTIC, *limits)
    return dataset


@pytest.fixture(scope="module")
def mels(mel_generator) -> Machine:
    mel_generator.said = mel_generator.run(EXPORT)
    return mel_generator


@pytest.fixture(scope="module")
def vocoder(mels) -> Machine:
    """Memo 7.2, then 3.2: the base's pair is copied into the new directory, and training goes on there."""
    base, target = (mels.checkpoints / name for name in ("jvs_11413_2048_scratch", "jvs_11413_2048_ft_mri"))
    for directory in (base, target):
        directory.mkdir(parents=True)
        for kind in ("g", "do"):
            shutil.copy(ROOT / "models" / "demo_vocoder" / f"{kind}_00016200", directory / f"{kind}_00055000")
    shutil.copy(ROOT / "config" / "hifigan_demo.json", mels.hifi_gan / "config_custom.json")
    mels.said = mels.run(FINE_TUNE, "--training_steps", "55002", "--summary_interval", "1")
    return mels


@pytest.fixture(scope="module")
def speech(vocoder) -> Machine:
    vocoder.said = vocoder.run(INFER)
    return vocoder


@pytest.fixture(scope="module")
def maps(mel_generator) -> Machine:
    device = () if torch.cuda.is_available() else ("--device", "cpu")
    mel_generator.said = mel_generator.run(GRADCAM, *device)
    return mel_generator


@pytest.mark.skipif(not MEMO.exists(), reason="the memo is not here")
@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_here_are_the_memos(name):
    assert COMMANDS[name] in MEMO.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COMMANDS)
def test_only_paths_change(name):
    theirs = COMMANDS[name].replace("`", " ").replace("^", " ").replace('"', " ").split()
    ours = pasted(COMMANDS[name], Path("/there"), tuple(word for word in theirs if word in ("...", "<generated.wav>")))
    for their, our in zip(theirs, ours, strict=True):
        assert our == their or "\\" in their or "/" in their or their in PATHS, their
        assert "\\" not in our and "C:" not in our


def test_1_1_preprocess(dataset):
    assert "4 of 4 clips" in dataset.said
    videos = dataset.recordings / "normalized_videos"
    for id, mri in dataset.samples("mri").items():
        assert mri.shape == (count_frames(videos / f"{id}.mp4"), 256, 256)
        assert dataset.samples("mel_db")[id].shape == (len(mri), 64)
        assert dataset.samples("mask")[id].shape == (len(mri),)
    assert lists(dataset) == SPLITS
    training = np.concatenate([dataset.samples("mel_db")[id] for id in SPLITS["training"]])
    scaler = json.loads((dataset.processed / "scaler.json").read_text(encoding="utf-8"))
    np.testing.assert_allclose(scaler["mean"], training.mean(0, dtype=np.float64), rtol=1e-6)
    meta = json.loads((dataset.processed / "meta.json").read_text(encoding="utf-8"))
    assert [meta[key] for key in ("sr", "n_mels", "n_fft", "hop_length", "ref_frames")] == [11413, 64, 2048, 420, 4]


def test_1_1_convert_pairs(dataset):
    said = dataset.run(CONVERT)
    for part in ("training", "validation"):
        windows = sum(dataset.frames(id) - 3 for id in SPLITS[part])
        assert f"{part}.npy: {windows} windows." in said
        assert len(np.load(dataset.processed / "pairs_ref4_npy" / f"{part}.npy")) == windows


def test_1_1_filelists_keep_the_split_that_the_scaler_was_made_with(dataset):
    directory = dataset.processed / "hifigan_filelists"
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    said = dataset.run(FILELISTS)
    assert "training: 2 clips" in said and "stay there" not in said
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_2_1_train_acoustic_without_a_checkpoint_to_resume_yet(mel_generator, hub_cache):
    assert "mri_acoustic_model.pt: there is no such checkpoint yet; the training starts anew." in mel_generator.said
    content = torch.load(mel_generator.checkpoints / "mri_acoustic_model.pt", weights_only=True)
    assert content["epoch"] == 1
    # One step of 1e-4 away from what the hub gave.
    for name, tensor in content["model_state_dict"].items():
        if name.startswith("cnn.backbone.") and name.endswith(("conv_pw.weight", "conv_dw.weight", "conv_stem.weight")):
            torch.testing.assert_close(tensor, hub_cache[name.removeprefix("cnn.backbone.")], atol=1.1e-4, rtol=0)


def test_2_1_without_hub_or_network_the_option_for_a_file_is_named(dataset, tmp_path):
    dataset.environment = {**dataset.environment, "HF_HOME": str(tmp_path)}
    try:
        elsewhere = ("--out_ckpt", str(tmp_path / "model.pt"), "--resume_ckpt", str(tmp_path / "model.pt"))
        said = dataset.run(TRAIN_ACOUSTIC, *elsewhere, code=2)
    finally:
        dataset.environment["HF_HOME"] = str(dataset.place / "hub")
    (sentence,) = [line for line in said.splitlines() if line.startswith("error:")]
    assert f"--cnn_pretrained: the weights of {HUB_MODEL} cannot be fetched" in sentence
    assert "give the file: --cnn_pretrained FILE" in sentence
    assert "Traceback" not in said


def test_2_3_tensorboard_of_the_mel_generator(mel_generator):
    tags = served_tags(mel_generator, TENSORBOARD_ACOUSTIC)
    assert {"loss/train", "loss/val", "metrics/val_mse", "band/val_f1", "lr"} <= tags


def test_3_1_export(mels):
    assert "--mri_code_dir: ignored." in mels.said
    for id in SOURCES:
        mel = np.load(mels.processed / "mels_ft_log_normalized" / f"{id}.npy")
        assert mel.dtype == np.float32 and mel.shape == (64, mels.frames(id))
        assert mel.min() >= np.float32(np.log(1e-5))


def test_3_2_fine_tuning_from_the_base_that_lies_in_checkpoint_path(vocoder):
    assert "g_00055000: training begins with it, at step 55000." in vocoder.said
    directory = vocoder.checkpoints / "jvs_11413_2048_ft_mri"
    assert torch.load(directory / "do_00055002", weights_only=True)["steps"] == 55002
    assert json.loads((directory / "config.json").read_text(encoding="utf-8"))["num_mels"] == 64


def test_3_2_tensorboard_of_the_vocoder(vocoder):
    logs = vocoder.checkpoints / "jvs_11413_2048_ft_mri" / "logs"
    tags = served_tags(vocoder, TENSORBOARD_VOCODER, filled=(str(logs),))
    assert {"training/gen_loss_total", "training/mel_spec_error", "validation/mel_spec_error"} <= tags


def test_4_inference(speech):
    assert "--mri-code-dir: ignored." in speech.said
    made = speech.output / "mri_infer_latest_ft"
    frames = speech.frames("000")
    sound, rate = soundfile.read(made / "000_generated.wav")
    assert rate == 11413 and len(sound) == frames * 420 and np.abs(sound).max() > 0
    assert np.load(made / "000_mel.npy").shape == np.load(made / "000_mel_log.npy").shape == (frames, 64)
    assert (made / "000_mel.png").exists()


def test_7_4_gradcam(maps):
    directory = maps.output / "gradcam_formant" / "000_mix_gt08_60k"
    for band in ("F1", "F2"):
        sequence = np.load(directory / f"gradcam_{band}_sequence.npy")
        assert sequence.shape == (maps.frames("000"), 256, 256)
        assert sequence.min() >= 0 and sequence.max() <= 1
        assert (directory / f"gradcam_{band}_average.png").exists()
        for frame in ("0060", "0090", "0120"):
            assert (directory / f"gradcam_{band}_frame{frame}.png").exists()
            assert (directory / f"gradcam_{band}_frame{frame}_detail.png").exists()


def test_7_4_slow_film_of_an_interval_cut_out_with_numpy(maps):
    directory = maps.output / "gradcam_formant" / "000_mix_gt08_60k"
    first, last = (round(second * 11413 / 420) for second in (0.8, 1.2))
    np.save(directory / "cut.npy", np.load(directory / "gradcam_F1_sequence.npy")[first:last])
    video = str(maps.recordings / "normalized_videos" / "000.mp4")
    maps.run(SLOW_FILM, filled=(video, str(directory / "cut.npy"), str(first), str(directory / "slow.mp4")))
    assert count_frames(directory / "slow.mp4") == 4 * (last - first)
    assert frame_rate(directory / "slow.mp4") == pytest.approx(5)


def test_7_4_overlay_film_with_the_generated_sound(maps, speech):
    directory = maps.output / "gradcam_formant" / "000_mix_gt08_60k"
    video = str(maps.recordings / "normalized_videos" / "000.mp4")
    wav = str(speech.output / "mri_infer_latest_ft" / "000_generated.wav")
    maps.run(OVERLAY_FILM, filled=(video, wav, str(directory / "overlay.mp4")))
    assert count_frames(directory / "overlay.mp4") == maps.frames("000")
    sound, rate = sound_of(directory / "overlay.mp4")
    assert len(sound) / rate == pytest.approx(maps.frames("000") * 420 / 11413, abs=0.1)


def lists(machine: Machine) -> dict[str, list[str]]:
    directory = machine.processed / "hifigan_filelists"
    return {
        path.stem: [line.split("|")[0] for line in path.read_text(encoding="utf-8").splitlines()]
        for path in directory.iterdir()
    }


def count_frames(path: Path) -> int:
    import cv2

    video, count = cv2.VideoCapture(str(path)), 0
    while video.read()[0]:
        count += 1
    return count


def frame_rate(path: Path) -> float:
    import cv2

    return cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS)


def sound_of(path: Path) -> tuple[np.ndarray, int]:
    from rtmri_speech.signal.audio import read_audio, track_rate

    rate = track_rate(path)
    return read_audio(path, sampling_rate=rate), rate


def served_tags(machine: Machine, command: str, filled: tuple[str, ...] = ()) -> set[str]:
    """Return the scalars served by TensorBoard, run as in the memo but on a free port."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    words = pasted(command, machine.place, filled)
    process = subprocess.Popen(
        [*words, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        while True:
            assert process.poll() is None, process.stderr.read()
            try:
                with urllib.request.urlopen(f"http://localhost:{port}/data/plugin/scalars/tags", timeout=30) as answer:
                    runs = json.load(answer)
            except urllib.error.URLError:
                runs = {}
            if tags := {tag for run in runs.values() for tag in run}:
                return tags
            time.sleep(0.2)
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()

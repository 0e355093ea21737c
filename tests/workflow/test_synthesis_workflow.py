"""Inference through Snakemake: a clip is made, and made again only when its inputs change."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_models
from workflow_checkout import make_recording

from rtmri_speech.signal.video import read_frames


def read_wav(path: Path) -> np.ndarray:
    return soundfile.read(path)[0]


INFER = "結果 1/infer"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, str]:
    """Settings with given, untrained models."""
    folder = tmp_path_factory.mktemp("given models")
    return {
        "mri_checkpoint": str(tiny_models.write_acoustic(folder / "mri_acoustic_model.pt")),
        "hifigan_checkpoint": str(tiny_models.write_vocoder(folder / "g_00000001")),
    }


@pytest.fixture
def inferred(checkout, models):
    """The checkout with both test clips inferred."""
    checkout.configure(synthesis=models)
    checkout.make(f"{INFER}/b0_generated.wav")
    assert [path.name for path in (checkout.directory / INFER).glob("*_generated.wav")] == ["b0_generated.wav"]
    checkout.make(f"{INFER}/b1_generated.wav")
    return checkout


def both(checkout) -> set[str]:
    return checkout.pending(f"{INFER}/b0_generated.wav", f"{INFER}/b1_generated.wav")


def test_a_clip_is_inferred_again_only_when_its_inputs_change(inferred, models, tmp_path):
    assert both(inferred) == set()
    folder = inferred.directory
    names = {"generated.wav", "original.wav", "mel.npy", "mel_log.npy", "mel.png"}
    made = {path.name for path in (folder / INFER).iterdir()}
    assert made == {"models.json", *(f"b{n}_{name}" for n in "01" for name in names)}
    named = json.loads((folder / INFER / "models.json").read_text(encoding="utf-8"))
    files = {**models, "pack": "結果 1/pack/model.pack"}
    assert named["context"] == "sequence"
    for name, file in files.items():
        assert named[name] == {"file": file, "sha256": hashlib.sha256((folder / file).read_bytes()).hexdigest()}

    # Another context, and back.
    inferred.configure(acoustic={"context": "causal"})
    assert both(inferred) == {"make_pack", "digest_models", "infer_clip b0", "infer_clip b1"}
    inferred.configure(acoustic={"context": "sequence"})

    # Code and comments.
    code = folder / "src" / "rtmri_speech" / "synthesis" / "speech.py"
    text = code.read_text(encoding="utf-8")
    code.write_text(text.replace("def draw_mels", "# Draws.\ndef draw_mels"), encoding="utf-8")
    assert both(inferred) == set()
    code.write_text(text.replace('"predicted"', '"foretold"'), encoding="utf-8")
    # Making a pack ends with speaking from it, to compare it with torch.
    assert both(inferred) == {"make_pack", "digest_models", "infer_clip b0", "infer_clip b1"}
    code.write_text(text, encoding="utf-8")

    # A deleted output, made again with the same bytes.
    wav = folder / INFER / "b0_generated.wav"
    before = wav.read_bytes()
    wav.unlink()
    assert both(inferred) == {"infer_clip b0"}
    inferred.make(f"{INFER}/b0_generated.wav")
    assert wav.read_bytes() == before

    # A changed recording.
    make_recording(folder / "動画 videos" / "b1.mp4", folder / "audio" / "b1.wav", seed=77)
    assert both(inferred) == {"prepare_clip b1", "infer_clip b1"}
    inferred.make(f"{INFER}/b1_generated.wav")
    assert wav.read_bytes() == before

    # Other models.
    other = tmp_path / "other.pt"
    tiny_models.write_acoustic(other, seed=5)
    inferred.configure(synthesis={**models, "mri_checkpoint": str(other)})
    assert both(inferred) == {"make_pack", "digest_models", "infer_clip b0", "infer_clip b1"}
    inferred.configure(synthesis=models)

    # By torch, from the checkpoints: the same speech, but for the last bits.
    packed = read_wav(wav)
    inferred.configure(synthesis={**models, "engine": "torch"})
    assert both(inferred) == {"digest_models", "infer_clip b0", "infer_clip b1"}
    inferred.make(f"{INFER}/b0_generated.wav")
    np.testing.assert_allclose(read_wav(wav), packed, rtol=0, atol=2e-4)
    assert "pack" not in json.loads((folder / INFER / "models.json").read_text(encoding="utf-8"))


def test_new_videos_are_synthesised_without_training(checkout, models):
    new = checkout.directory / "新しい videos"
    make_recording(new / "n1.mp4", checkout.directory / "x.wav", seed=5)
    make_recording(new / "n2.mp4", new / "n2.wav", seed=6)
    checkout.configure(synthesis={**models, "new_videos": "新しい videos"})
    targets = [f"結果 1/infer_new/{id}_generated.wav" for id in ("n1", "n2")]
    new_jobs = {"infer_new_video n1", "infer_new_video n2"}
    assert checkout.pending(*targets) == {"make_pack", "digest_models", *new_jobs}
    checkout.make(*targets)
    made = {path.name for path in (checkout.directory / "結果 1" / "infer_new").iterdir()}
    assert {"n1_generated.wav", "n2_generated.wav", "n2_original.wav"} <= made
    assert "n1_original.wav" not in made
    assert checkout.pending(*targets) == set()
    # Other models than those that the pack was made of are packed first.
    checkout.configure(acoustic={"context": "causal"})
    assert {"make_pack", "digest_models", *new_jobs} <= checkout.pending("infer_new")


def test_a_masked_clip_is_compared_with_the_unmasked_one(checkout, models):
    polygon = checkout.directory / "my polygon.json"
    polygon.write_text(json.dumps([[0, 0], [128, 0], [128, 256], [0, 256]]))
    checkout.configure(
        synthesis={**models, "masks": {"left": {"type": "custom", "polygons": polygon.name, "blur_kernel": 0}}}
    )
    folder = checkout.directory / "結果 1" / "masked" / "left"
    checkout.make("結果 1/masked/left/b0_side_by_side.mp4")
    frames = np.load(checkout.directory / "結果 1/dataset/samples/b0/mri.npy")
    masked = np.stack(list(read_frames(folder / "videos" / "b0.mp4")))
    assert not masked[:, :, :16].any()
    # The pixels that the edge runs through are darkened too.
    np.testing.assert_array_equal(masked[:, :, 17:], frames[:, :, 17:])
    film = np.stack(list(read_frames(folder / "b0_side_by_side.mp4")))
    assert film.shape == (len(frames), 32, 64)
    unmasked_mel, masked_mel = (
        np.load(Path(path)) for path in (checkout.directory / INFER / "b0_mel.npy", folder / "infer" / "b0_mel.npy")
    )
    assert np.abs(unmasked_mel - masked_mel).max() > 1e-3
    assert (folder / "b0_side_by_side.png").exists()
    polygon.write_text(json.dumps([[0, 0], [64, 0], [64, 256], [0, 256]]))
    assert checkout.pending("結果 1/masked/left/b0_side_by_side.mp4") == {
        "mask_video left",
        "infer_masked left",
        "compare_masked left",
    }


def test_griffin_lim_speaks_without_a_trained_vocoder(checkout, models):
    checkout.configure(synthesis={"mri_checkpoint": models["mri_checkpoint"], "vocoder": "griffin-lim"})
    target = f"{INFER}/b0_generated.wav"
    jobs = checkout.pending(target)
    assert "choose_untrained_vocoder" in jobs and not jobs & {"fine_tune_vocoder", "train_acoustic"}
    checkout.make(target)
    assert np.abs(read_wav(checkout.directory / target)).max() > 0
    assert not checkout.pending(target)

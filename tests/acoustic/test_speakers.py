"""Speakers distinguished by statistics and vectors, computed here, in training, prediction, packs and scripts."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from same_state import assert_same

from rtmri_speech.acoustic.context import predict_db
from rtmri_speech.acoustic.data import Segments
from rtmri_speech.acoustic.predict import export_predicted, load_acoustic_model
from rtmri_speech.acoustic.train import AcousticTask, train
from rtmri_speech.dataset.filelists import clips_of
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.dataset.speakers import read_speakers, write_speakers
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.mel_generator import mel_generator_errors
from rtmri_speech.pack.export import MEL_TOLERANCE, make_pack
from rtmri_speech.pack.format import read_about
from rtmri_speech.pack.speak import load_live_pack, load_pack
from rtmri_speech.preflight import check_models
from rtmri_speech.settings.use import Pack
from rtmri_speech.signal.audio import write_wav
from rtmri_speech.synthesis.synthesiser import Synthesiser
from rtmri_speech.training.distributed import Processes
from rtmri_speech.training.state import load_checkpoint

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
ALONE = Processes(0, 1, torch.device("cpu"))
SPEAKERS = {"a0": "Anna", "a1": "Bert", "a2": "Anna", "a3": "Anna", "a4": "Bert", "a5": "Carl"}
"""Training, validation and test clips of `tiny_processed`; Carl speaks in the test clip alone."""


def name_speakers(processed, speakers):
    for part in ("training", "validation", "test"):
        ids = clips_of(processed, part)
        write_speakers(processed / "speakers" / f"{part}.json", {id: speakers.get(id) for id in ids})


@pytest.fixture
def processed(tiny_processed):
    """The tiny dataset of three speakers, of whom Bert is louder, the more so the higher the bin."""
    for id, speaker in SPEAKERS.items():
        if speaker == "Bert":
            path = tiny_processed / "samples" / id / "mel_db.npy"
            np.save(path, np.load(path) + np.linspace(5, 30, 12, dtype=np.float32))
    name_speakers(tiny_processed, SPEAKERS)
    return tiny_processed


def statistics(processed, *ids):
    """Mean and deviation of the clips' frames with sound, (n_mels,) each."""
    clips = [open_sample(processed, id) for id in ids]
    frames = np.concatenate([clip.mel_db[clip.sound_mask > 0] for clip in clips]).astype(np.float64)
    return frames.mean(0), frames.std(0)


def test_a_clip_is_standardised_by_its_speakers_training_clips(processed, tiny_training):
    training = AcousticTask(tiny_training(speaker_statistics=True), ALONE)
    own = {"Anna": statistics(processed, "a0", "a2"), "Bert": statistics(processed, "a1")}
    for segments in (training.segments, training.validation):
        seen = set()
        for number in range(len(segments)):
            clip, firsts = segments.segment((0, number))
            id = segments.windows.ids[clip]
            mean, deviation = own[SPEAKERS[id]]
            (part,) = segments.micro_batches([(0, number)])
            for first, mel in zip(firsts, part.mel.numpy(), strict=True):
                expected = (open_sample(processed, id).mel_db[first : first + 4] - mean) / deviation
                np.testing.assert_allclose(mel, expected, atol=1e-4)
            seen.add(SPEAKERS[id])
        assert seen == {"Anna", "Bert"}


def test_without_the_setting_all_clips_have_one_scaler_and_checkpoints_are_as_before(processed, tiny_training):
    settings = tiny_training(epochs=1)
    task = AcousticTask(settings, ALONE)
    assert "speakers" not in task.fingerprint()["data"]
    plain = Segments(task.windows["training"], 4, 2, "unit", seed=1)
    (part,) = plain.micro_batches([(0, 0)])
    clip, firsts = plain.segment((0, 0))
    mel_db = task.windows["training"].sample(clip).mel_db[firsts[0] : firsts[0] + 4]
    np.testing.assert_array_equal(part.mel[0].numpy(), task.windows["training"].scaler.standardise(mel_db))
    train(settings)
    assert "speaker_scalers" not in load_checkpoint(settings.out_ckpt)


def test_predictions_are_restored_by_their_speaker_and_those_of_others_by_all(processed, tiny_training, tmp_path, said):
    settings = tiny_training(epochs=1, speaker_statistics=True)
    train(settings)
    said.clear()
    bundle, spec = load_acoustic_model(settings.out_ckpt, "cpu"), load_mel_spec(processed)
    assert list(bundle.speakers) == ["Anna", "Bert"]
    export_predicted(bundle, processed, tmp_path / "mels", ids=["a3", "a4", "a5"])
    own = {"a3": statistics(processed, "a0", "a2"), "a4": statistics(processed, "a1")}
    # The fixture changed mels after its scaler was made.
    scaler = json.loads((processed / "scaler.json").read_text())
    own["a5"] = np.array(scaler["mean"]), np.array(scaler["std"])
    for id, (mean, deviation) in own.items():
        standardised = bundle.decode(bundle.features(open_sample(processed, id).mri)[None])[0]
        expected = spec.log_from_db(standardised * deviation + mean).T
        np.testing.assert_allclose(np.load(tmp_path / "mels" / f"{id}.npy"), expected, atol=1e-3)
    (sentence,) = [one for one in said if "stands for" in one]
    assert sentence.startswith("a5: ") and "(Anna, Bert)" in sentence


def test_scores_are_of_the_speakers_mels(processed, tiny_training):
    settings = tiny_training(epochs=1, speaker_statistics=True)
    train(settings)
    bundle = load_acoustic_model(settings.out_ckpt, "cpu")
    for id in SPEAKERS:
        samples = len(open_sample(processed, id).mri) * bundle.mel.hop_length
        tone = 0.3 * np.sin(np.arange(samples) * 2 * np.pi * 150 / bundle.mel.sampling_rate)
        write_wav(processed / "wavs" / f"{id}.wav", tone, bundle.mel.sampling_rate)
    found = mel_generator_errors(bundle, processed, ["validation"])["validation"]["systems"]["model, window"]["all"]
    squares = []
    for id, speaker in (("a3", "Anna"), ("a4", "Bert")):
        clip = open_sample(processed, id)
        predicted = predict_db(bundle.spoken_by(speaker), clip.mri, "window")
        difference = (predicted - clip.mel_db) / bundle.scaler.std
        squares.append((difference**2).mean(1)[clip.sound_mask > 0])
    assert found == pytest.approx(np.concatenate(squares).mean(), rel=1e-4)


@pytest.mark.parametrize("told", [{"speaker_statistics": True}, {"speaker_embedding": 3}])
def test_a_training_by_speaker_resumes_bit_for_bit(processed, tiny_training, told):
    changed = {**told, "schedule": "plateau", "picture_epochs": 2, "average": 0.9}
    whole, stopped = tiny_training("whole", **changed, epochs=4), tiny_training("stopped", **changed, epochs=2)
    train(whole)
    train(stopped)
    train(dataclasses.replace(stopped, epochs=4))
    contents = [load_checkpoint(run.out_ckpt) for run in (whole, stopped)]
    for name in ("model_state_dict", "optimizer_state_dict", "scaler", "speaker_scalers", "speakers", "val_loss"):
        assert_same(contents[0].get(name), contents[1].get(name), name)
    assert contents[0]["speakers"] == ["Anna", "Bert"]
    assert ("speaker_scalers" in contents[0]) == ("speaker_statistics" in told)


@pytest.mark.parametrize("other", ["Anna", "Dora"])
def test_another_speaker_of_a_clip_is_another_training(processed, tiny_training, said, other):
    settings = tiny_training(epochs=1, speaker_statistics=True)
    train(settings)
    name_speakers(processed, SPEAKERS | {"a1": other})
    said.clear()
    train(settings)
    assert any("it starts anew" in sentence and "speakers" in sentence for sentence in said)


def test_clips_without_a_speaker_are_refused_before_training(processed, tiny_training):
    name_speakers(processed, {id: speaker for id, speaker in SPEAKERS.items() if id not in ("a1", "a4")})
    with pytest.raises(UserError, match=r"speakers: does not say who speaks in a1 and 1 more, .*; fill in the column"):
        train(tiny_training(speaker_statistics=True))
    shutil.rmtree(processed / "speakers")
    with pytest.raises(UserError, match="does not say who speaks in a0 and 4 more"):
        train(tiny_training(speaker_statistics=True))


def test_a_speaker_heard_in_validation_alone_is_judged_by_the_statistics_of_all(processed, tiny_training, said):
    name_speakers(processed, SPEAKERS | {"a4": "Dora"})
    task = AcousticTask(tiny_training(speaker_statistics=True), ALONE)
    windows = task.windows["validation"]
    assert windows.scaler_of(windows.ids.index("a4")) is windows.scaler
    assert windows.scaler_of(windows.ids.index("a3")) is task.speaker_scalers["Anna"]
    assert any(sentence.startswith("a4: ") for sentence in said)


def scaler(mean, deviation, n_mels=tiny_models.SPEC.n_mels):
    return {"mean": [mean] * n_mels, "std": [deviation] * n_mels, "count_frames": 9}


BY_NAME = {"Anna": scaler(-30.0, 10.0), "Bert": scaler(-60.0, 5.0)}


@pytest.fixture
def spoken(tmp_path):
    """The files of a mel generator that knows two speakers, and of a vocoder."""
    checkpoint = tiny_models.write_acoustic(tmp_path / "mri.pt", speakers=BY_NAME)
    return checkpoint, tiny_models.write_vocoder(tmp_path / "g_00000001")


def test_a_pack_speaks_as_each_speaker_as_torch_does(spoken, tmp_path):
    make_pack(tmp_path / "a.pack", *spoken, Pack("MIT", "two", "none is needed"))
    assert read_about(tmp_path / "a.pack").speaker_scalers == BY_NAME
    bundle, frames = load_acoustic_model(spoken[0], "cpu"), tiny_models.moving_bar(21)
    loaded = load_pack(tmp_path / "a.pack", "causal")
    pooled = predict_db(bundle, frames, "causal")
    for name, (mean, deviation) in {None: (-40, 20), "Anna": (-30, 10), "Bert": (-60, 5)}.items():
        expected = (pooled + 40) / 20 * deviation + mean
        np.testing.assert_allclose(predict_db(bundle.spoken_by(name), frames, "causal"), expected, atol=1e-3)
        speech = loaded.spoken_by(name).speech(frames)
        assert np.abs(speech.mel_db - expected).max() / deviation <= MEL_TOLERANCE
        live = load_live_pack(tmp_path / "a.pack", 4, speaker=name)
        np.testing.assert_allclose(np.concatenate(list(live.stream(frames))), speech.audio["vocoder"], atol=1e-3)
    with pytest.raises(
        UserError, match=r"'Carl', whom .*a\.pack does not know; give one of Anna, Bert, or leave it out"
    ):
        load_live_pack(tmp_path / "a.pack", speaker="Carl")


def by_hand(model, features, vector):
    """Outputs of the LSTM for features (T, C) with a vector beside each frame's, through its parts."""
    beside = torch.cat([torch.from_numpy(features), vector.expand(len(features), -1)], 1)
    hidden = model.rnn.lstm(beside[None])[0][0]
    return model.head(hidden[:, :8] + hidden[:, 8:]).detach().numpy()


@pytest.mark.parametrize("speakers", [BY_NAME, ("Anna", "Bert")])
def test_the_lstm_sees_the_vector_of_the_speaker_or_the_mean_and_a_pack_gives_the_same(tmp_path, speakers):
    checkpoint = tiny_models.write_acoustic(tmp_path / "mri.pt", speakers=speakers, embedding=3)
    bundle, frames = load_acoustic_model(checkpoint, "cpu"), tiny_models.moving_bar(21)
    features, vectors = bundle.features(frames), bundle.model.speakers.weight
    assert vectors.shape == (2, 3) and not torch.equal(vectors[0], vectors[1])
    vocoder = tiny_models.write_vocoder(tmp_path / "g_00000001")
    make_pack(tmp_path / "a.pack", checkpoint, vocoder, Pack("MIT", "two", "none is needed"))
    loaded = load_pack(tmp_path / "a.pack", "sequence")
    for name, vector in {"Anna": vectors[0], "Bert": vectors[1], None: (vectors[0] + vectors[1]) / 2}.items():
        mean, deviation = -40.0, 20.0
        if name and speakers is BY_NAME:
            mean, deviation = BY_NAME[name]["mean"][0], BY_NAME[name]["std"][0]
        expected = by_hand(bundle.model, features, vector) * deviation + mean
        np.testing.assert_allclose(predict_db(bundle.spoken_by(name), frames), expected, atol=1e-3)
        found = loaded.spoken_by(name).speech(frames)
        assert np.abs(found.mel_db - expected).max() / deviation <= MEL_TOLERANCE
        live = load_live_pack(tmp_path / "a.pack", 4, speaker=name)
        causal = load_pack(tmp_path / "a.pack", "causal").spoken_by(name).speech(frames).audio["vocoder"]
        np.testing.assert_allclose(np.concatenate(list(live.stream(frames))), causal, atol=1e-3)
    assert bundle.model.speaker is None, "that of a speaker is another model, with the same weights"


def test_a_step_trains_the_vectors_of_the_speakers_of_its_windows(processed, tiny_training):
    # Of a validation clip of a speaker without training clips, the mean of the vectors.
    name_speakers(processed, SPEAKERS | {"a4": "Dora"})
    task = AcousticTask(tiny_training(speaker_embedding=3, backbone="test_efficientnet", dropout=0.0), ALONE)
    for segments, rows in ((task.segments, {"a0": 0, "a1": 1, "a2": 0}), (task.validation, {"a3": 0, "a4": 2})):
        for number in range(len(segments)):
            clip, _ = segments.segment((0, number))
            (part,) = segments.micro_batches([(0, number)])
            assert set(part.speakers.tolist()) == {rows[segments.windows.ids[clip]]}
            outputs = task.model.eval()(part.frames, part.starts, 4, speakers=part.speakers)
            vectors = task.model.speaker_vectors()
            features = task.model.features(part.frames).detach().numpy()
            first = int(part.starts[0])
            expected = by_hand(task.model, features[first : first + 4], vectors[part.speakers[0]])
            np.testing.assert_allclose(outputs[0].detach().numpy(), expected, atol=1e-5)
    berts = [number for number in range(len(task.segments)) if task.segments.segment((0, number))[0] == 1]
    task.step(task.segments.micro_batches([(0, number) for number in berts]))
    gradient = task.model.speakers.weight.grad
    assert not gradient[0].any() and gradient[1].all()


def test_a_further_training_takes_the_vectors_of_the_speakers_it_has(processed, tiny_training, said):
    pooled = tiny_training("pooled", epochs=1, speaker_embedding=3)
    train(pooled)
    given = load_checkpoint(pooled.out_ckpt)["model_state_dict"]["speakers.weight"]
    name_speakers(processed, {"a0": "Bert", "a1": "Dora", "a2": "Bert", "a3": "Bert", "a4": "Dora"})
    further = tiny_training("further", epochs=2, speaker_embedding=3, resume_ckpt=pooled.out_ckpt)
    task = AcousticTask(further, ALONE)
    task.begin(None)
    torch.testing.assert_close(task.model.speakers.weight.detach(), torch.stack([given[1], given.mean(0)]))
    with pytest.raises(UserError, match=r"model\.pt: has the unknown key speakers\.weight"):
        AcousticTask(dataclasses.replace(further, speaker_embedding=0, rnn_hidden=8), ALONE).begin(None)
    # The same number of other speakers: their vectors are not taken for these.
    said.clear()
    train(dataclasses.replace(pooled, resume="warm", lr=1e-30, weight_decay=0.0))
    assert any("warm start" in sentence for sentence in said)
    assert not torch.equal(load_checkpoint(pooled.out_ckpt)["model_state_dict"]["speakers.weight"][0], given[0])


def test_an_unknown_speaker_is_refused_and_one_of_a_model_without_speakers_too(spoken, tmp_path):
    bundle = load_acoustic_model(spoken[0], "cpu")
    with pytest.raises(UserError, match=r"--speaker: is 'anna', whom .*mri\.pt does not know; give one of Anna, Bert"):
        Synthesiser(bundle, {}).spoken_by("anna")
    plain = load_acoustic_model(tiny_models.write_acoustic(tmp_path / "plain.pt"), "cpu")
    with pytest.raises(UserError, match=r"plain\.pt distinguishes no speakers; leave it out"):
        plain.spoken_by("Anna")


@pytest.mark.parametrize(
    ("stored", "sentence"),
    [
        ({"Anna": scaler(0.0, 1.0, 3)}, "predicts 16 bins but the scaler has 3"),
        ({"Anna": {"mean": [0.0], "std": [-1.0]}}, "needs the lists mean and std"),
        ({"Anna": [1.0]}, "speaker_scalers"),
    ],
)
def test_a_malformed_scaler_of_a_speaker_is_refused(tmp_path, stored, sentence):
    with pytest.raises(UserError, match=sentence):
        load_acoustic_model(tiny_models.write_acoustic(tmp_path / "m.pt", speakers=stored), "cpu")


def test_a_given_model_with_speakers_needs_the_setting(spoken):
    with pytest.raises(UserError, match=r"mri\.pt: was trained to distinguish speakers; set acoustic"):
        check_models(tiny_models.SPEC, None, mri_checkpoint=spoken[0])
    check_models(tiny_models.SPEC, None, mri_checkpoint=spoken[0], distinguishes_speakers=True)


def test_the_command_takes_the_speaker_from_flag_table_or_dataset(spoken, tmp_path):
    (tmp_path / "videos").mkdir()
    for name in ("b0", "b1", "b2"):
        np.save(tmp_path / "videos" / f"{name}.npy", tiny_models.moving_bar(9))
    write_speakers(tmp_path / "data" / "speakers" / "test.json", {"b0": "Anna", "b1": "Bert", "b2": "Carl"})
    videos = [str(path) for path in sorted((tmp_path / "videos").iterdir())]
    table = tmp_path / "table.tsv"
    rows = zip(("b0", "b1", "b2"), videos, ("Anna", "Bert", "Carl"), strict=True)
    table.write_text("id\tvideo\tspeaker\n" + "".join("\t".join(row) + "\n" for row in rows))
    means = {}
    for way, words in {
        "all": ["--video", *videos],
        "flag": ["--video", *videos, "--speaker", "Bert"],
        "table": ["--table", table],
        "dataset": ["--video", *videos, "--processed-dir", tmp_path / "data"],
    }.items():
        models = ["--mri-checkpoint", spoken[0], "--hifigan-checkpoint", spoken[1], "--output-dir", tmp_path / way]
        words = [sys.executable, SCRIPTS / "run_mri_video_inference.py", *words, *models, "--frame-rate", 11413 / 420]
        run = subprocess.run([*map(str, words)], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert ("a mean of all of them" in run.stdout + run.stderr) == (way != "flag")
        means[way] = [np.load(tmp_path / way / f"{id}_mel.npy") for id in ("b0", "b1", "b2")]
    standardised = (means["all"][0] + 40) / 20
    of = {"Anna": standardised * 10 - 30, "Bert": standardised * 5 - 60, None: means["all"][0]}
    for way, names in {
        "flag": ["Bert"] * 3,
        "table": ["Anna", "Bert", None],
        "dataset": ["Anna", "Bert", None],
    }.items():
        for found, name in zip(means[way], names, strict=True):
            np.testing.assert_allclose(found, of[name], atol=1e-3, err_msg=f"{way} {name}")


def test_a_model_of_several_speakers_is_trained_further_for_one(
    processed, make_tiny_processed, tiny_training, tmp_path
):
    pooled = tiny_training("pooled", epochs=2, speaker_statistics=True)
    train(pooled)
    one = make_tiny_processed(tmp_path / "one", seed=5)
    name_speakers(one, dict.fromkeys(SPEAKERS, "Dora"))
    further = tiny_training("one", processed_dir=one, speaker_statistics=True, resume_ckpt=pooled.out_ckpt, epochs=4)
    begun = AcousticTask(further, ALONE)
    begun.begin(None)
    assert_same(dict(begun.model.state_dict()), load_checkpoint(pooled.out_ckpt)["model_state_dict"])
    # The losses of other statistics do not compare, though the clips have the same names.
    assert begun.best is None and begun.steps == 2 * begun.plan.per_epoch
    train(further)
    bundle = load_acoustic_model(further.out_ckpt, "cpu")
    assert list(bundle.speakers) == ["Dora"] and set(bundle.seen) >= set(clips_of(processed, "training"))
    mean, deviation = statistics(one, *clips_of(one, "training"))
    np.testing.assert_allclose(bundle.spoken_by("Dora").scaler.mean, mean, atol=1e-4)
    np.testing.assert_allclose(bundle.spoken_by("Dora").scaler.std, deviation, atol=1e-4)


def test_the_newest_list_counts_for_a_clip_that_was_moved_and_a_damaged_one_is_refused(tmp_path):
    folder = tmp_path / "speakers"
    for split, speakers in (("training", {"a": "Anna", "b": None}), ("test", {"a": "Bert"})):
        write_speakers(folder / f"{split}.json", speakers)
    for seconds, split in enumerate(("training", "test")):
        os.utime(folder / f"{split}.json", (1000 + seconds, 1000 + seconds))
    assert read_speakers(tmp_path) == {"a": "Bert"}
    (folder / "test.json").write_text('{"a": 3}')
    with pytest.raises(UserError, match=r"test\.json: .*delete it and make it again"):
        read_speakers(tmp_path)

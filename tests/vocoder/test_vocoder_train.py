import dataclasses
import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest
import torch
from logged import logged
from tiny_models import TRAINED_VOCODER, write_noise

from rtmri_speech.dataset.filelists import write_filelist
from rtmri_speech.errors import UserError
from rtmri_speech.training.state import TrainingState, load_checkpoint
from rtmri_speech.vocoder.checkpoint import newest_pair, official_state, publish_pair, read_generator, write_pair
from rtmri_speech.vocoder.config import read_config, write_config
from rtmri_speech.vocoder.data import open_clips, whole_clip
from rtmri_speech.vocoder.discriminators import MultiPeriodDiscriminator, MultiScaleDiscriminator
from rtmri_speech.vocoder.generator import Generator
from rtmri_speech.vocoder.loss import mel_error
from rtmri_speech.vocoder.naming import pairs
from rtmri_speech.vocoder.train import Run, dated_directory, train

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "train.py"
DATA = Path(__file__).parent / "data"

TINY = dataclasses.replace(
    TRAINED_VOCODER,
    learning_rate=1e-3,
    lr_decay=0.9,
    stft_weight=5.0,
    discriminator_start=4,
    augment_rate=0.05,
    seed=3,
)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def corpus(tmp_path):
    write_noise(tmp_path, ["a", "b", "c"])
    write_config(tmp_path / "config.json", TINY)
    return tmp_path


def run_of(corpus, name="out", **settings):
    settings = {"steps": 8, "epochs": 1, "checkpoint_interval": 4, "validation_interval": 4, **settings}
    return Run(directory=corpus / name, state_directory=corpus / name / "state", device="cpu", **settings)


def train_in(corpus, name="out", config=TINY, **settings):
    with logged() as told:
        parts = [open_clips(corpus / f"{part}.txt", corpus / "wavs", config) for part in ("training", "validation")]
        code = train(config, *parts, run_of(corpus, name, **settings))
    assert code == 0
    return told


def contents(directory, steps):
    return [load_checkpoint(directory / f"{kind}_{steps:08d}") for kind in ("g", "do")]


def assert_equal(a, b):
    """Compare nested checkpoints bit for bit."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b


def test_a_pair_contains_its_provenance(corpus):
    train_in(corpus, provenance=corpus / "vocoder.json")
    record = json.loads((corpus / "vocoder.json").read_text(encoding="utf-8"))
    assert [content["provenance"] for content in contents(corpus / "out", 8)] == [record, record]
    assert str(corpus) not in json.dumps(record), "a path of this machine"
    hashes = {id: hashlib.sha256((corpus / "wavs" / f"{id}.wav").read_bytes()).hexdigest() for id in "abcv"}
    assert record["clips"] == {"files": ["<id>.wav"], "sha256": hashes}
    (maker,) = record["made_by"]
    assert (record["seed"], maker["from_step"], maker["settings"]["stft_weight"]) == (3, 0, 5.0)


def test_a_pair_has_the_official_layout_and_numbering(corpus):
    train_in(corpus)
    assert pairs(corpus / "out") == [4, 8]
    generator, rest = contents(corpus / "out", 8)
    assert list(generator["generator"]) == list(official_state(Generator(TINY)))
    assert {"mpd", "msd", "optim_g", "optim_d", "steps", "epoch", "provenance"} == set(rest)
    assert (rest["steps"], rest["epoch"]) == (8, 4)
    msd, mpd = MultiScaleDiscriminator(TINY), MultiPeriodDiscriminator(TINY)
    parameters = [*msd.parameters(), *mpd.parameters()]
    shapes = [rest["optim_d"]["state"][n]["exp_avg"].shape for n in range(len(parameters))]
    assert shapes == [p.shape for p in parameters]
    # What the official program does with the file.
    optimiser = torch.optim.AdamW(itertools.chain(msd.parameters(), mpd.parameters()), 1e-4, betas=[0.8, 0.99])
    optimiser.load_state_dict(rest["optim_d"])
    assert all("initial_lr" in group for group in optimiser.param_groups)
    assert read_config(corpus / "out").padding == "official"


def test_discriminators_start_at_their_step(corpus):
    train_in(corpus, steps=8)
    _, before = contents(corpus / "out", 4)
    _, after = contents(corpus / "out", 8)
    assert not before["optim_d"]["state"] and after["optim_d"]["state"]
    changed = [not torch.equal(before["mpd"][name], after["mpd"][name]) for name in before["mpd"]]
    assert all(changed)


def test_a_stopped_training_resumes_bit_exactly(corpus):
    train_in(corpus, "whole", steps=11)
    train_in(corpus, "parts", steps=5)
    told = train_in(corpus, "parts", steps=11)
    assert "resumes at step 5 with changed steps 5 -> 11" in told[0]
    for a, b in zip(contents(corpus / "whole", 11), contents(corpus / "parts", 11), strict=True):
        assert_equal(a, b)


def test_a_truncated_state_is_skipped_for_the_previous_one(corpus):
    train_in(corpus, "whole", steps=11)
    train_in(corpus, "parts", steps=8)
    newest = corpus / "parts" / "state" / "state_00000008.pt"
    newest.write_bytes(newest.read_bytes()[:5000])
    told = train_in(corpus, "parts", steps=11)
    assert any("state_00000008.pt" in sentence and "the one before it is used" in sentence for sentence in told)
    for a, b in zip(contents(corpus / "whole", 11), contents(corpus / "parts", 11), strict=True):
        assert_equal(a, b)


def test_a_finished_training_restores_a_lost_pair(corpus):
    train_in(corpus)
    before = contents(corpus / "out", 8)
    for kind in ("g", "do"):
        (corpus / "out" / f"{kind}_00000008").unlink()
    train_in(corpus)
    for a, b in zip(before, contents(corpus / "out", 8), strict=True):
        assert_equal(a, b)


def test_fine_tuning_takes_the_rate_from_the_config_and_resuming_from_the_state(corpus):
    train_in(corpus, "base")
    config = dataclasses.replace(TINY, learning_rate=1e-4)
    told = train_in(corpus, "tuned", config, steps=12, base=corpus / "base", new_rate=True, base_needed=True)
    assert any("g_00000008: training begins with it, at step 8" in sentence for sentence in told)
    for a, b in zip(contents(corpus / "base", 8), contents(corpus / "tuned", 8), strict=True):
        assert_equal(a, b)
    _, rest = contents(corpus / "tuned", 12)
    # Two epochs of two steps; the last batch's rate had decayed once.
    assert rest["optim_g"]["param_groups"][0]["lr"] == pytest.approx(1e-4 * 0.9)
    train_in(corpus, "tuned", config, steps=13, base=corpus / "base", new_rate=True, base_needed=True)
    _, rest = contents(corpus / "tuned", 13)
    assert rest["optim_g"]["param_groups"][0]["lr"] == pytest.approx(1e-4 * 0.9**2)


def test_a_published_pair_is_small_and_can_be_fine_tuned(corpus):
    train_in(corpus, "base")
    publish_pair(corpus / "base", 8, corpus / "published")
    small, large = ((corpus / name / "do_00000008").stat().st_size for name in ("published", "base"))
    assert small < 0.7 * large
    told = train_in(corpus, "tuned", steps=9, base=corpus / "published", new_rate=True, base_needed=True)
    assert not any("dropped" in sentence for sentence in told)


def test_a_truncated_base_pair_is_skipped_with_a_warning(corpus):
    train_in(corpus, "base")
    for kind in ("g", "do"):
        path = corpus / "base" / f"{kind}_00000008"
        path.write_bytes(path.read_bytes()[:-300])
    told = train_in(corpus, "tuned", steps=6, base=corpus / "base", new_rate=True, base_needed=True)
    assert any("g_00000008" in sentence and "the pair before it is used" in sentence for sentence in told)
    assert pairs(corpus / "tuned") == [4, 6]


@pytest.mark.parametrize("base", ["base", "base/g_00000008.pt"])
def test_a_base_named_pt_is_copied_under_the_official_names(corpus, base):
    train_in(corpus, "base")
    for kind in ("g", "do"):
        path = corpus / "base" / f"{kind}_00000008"
        path.rename(path.with_name(f"{path.name}.pt"))
    train_in(corpus, "tuned", steps=9, base=corpus / base, new_rate=True, base_needed=True)
    assert pairs(corpus / "tuned") == [8, 9]
    assert (corpus / "tuned" / "g_00000008").read_bytes() == (corpus / "base" / "g_00000008.pt").read_bytes()
    assert (corpus / "tuned" / "do_00000008").read_bytes() == (corpus / "base" / "do_00000008.pt").read_bytes()


def test_a_base_without_discriminators_serves_a_training_that_has_none(corpus):
    train_in(corpus, "base")
    (corpus / "base" / "do_00000008").unlink()
    base, alone = corpus / "base" / "g_00000008", dataclasses.replace(TINY, discriminator_start=None)
    told = train_in(corpus, "tuned", config=alone, steps=10, base=base, new_rate=True, base_needed=True)
    assert any("has no do_00000008 beside it, and needs none" in sentence for sentence in told)
    assert pairs(corpus / "tuned") == [10] and (corpus / "tuned" / "g_00000008").read_bytes() == base.read_bytes()
    before, after = (load_checkpoint(corpus / name)["generator"] for name in ("base/g_00000008", "tuned/g_00000010"))
    assert any((before[name] != after[name]).any() for name in before)
    with pytest.raises(UserError, match="do_00000008: there is no such file"):
        train_in(corpus, "other", steps=10, base=base, new_rate=True, base_needed=True)


def test_another_base_starts_over(corpus):
    train_in(corpus, "base")
    train_in(corpus, "tuned", steps=10, base=corpus / "base" / "g_00000008", new_rate=True, base_needed=True)
    told = train_in(corpus, "tuned", steps=6, base=corpus / "base" / "g_00000004", new_rate=True, base_needed=True)
    assert any("changed in base" in sentence and "starts anew" in sentence for sentence in told)


def test_a_lab_pair_gives_weights_and_step_without_its_optimiser(corpus):
    lab = dataclasses.replace(TINY, padding="lab")
    generator, mpd, msd = Generator(lab), MultiPeriodDiscriminator(lab), MultiScaleDiscriminator(lab)

    def adabelief(*modules):
        parameters = [p for module in modules for p in module.parameters()]
        state = {n: {"step": 9, "exp_avg": p.data, "exp_avg_var": p.data} for n, p in enumerate(parameters)}
        return {"state": state, "param_groups": [{"lr": 1e-9, "params": list(range(len(parameters)))}]}

    rest = {
        "mpd": official_state(mpd),
        "msd": official_state(msd),
        "optim_g": adabelief(generator),
        "optim_d": adabelief(mpd, msd),
        "steps": 55,
        "epoch": 3,
    }
    write_pair(corpus / "lab", 55, {"generator": official_state(generator)}, rest)
    unnamed = dataclasses.replace(TINY, padding=None, mel=TINY.spec)
    told = train_in(corpus, "tuned", unnamed, steps=56, base=corpus / "lab", new_rate=True, base_needed=True)
    dropped = [sentence for sentence in told if "dropped" in sentence]
    assert len(dropped) == 2 and all("AdaBelief" in sentence for sentence in dropped)
    made, _ = contents(corpus / "tuned", 56)
    assert made["padding"] == "lab" and "conv_pre.weight" in made["generator"]
    assert made["generator"]["conv_pre.weight"].dtype == torch.float32


def test_the_best_and_the_last_pair_are_kept_and_the_others_archived(corpus):
    train_in(corpus, steps=20, keep_last=1, archive=corpus / "old", checkpoint_interval=4)
    saved = load_checkpoint(corpus / "out" / "state" / "state_00000020.pt")["payload"]["pair_errors"]
    assert set(pairs(corpus / "out")) == {20, min(saved, key=saved.get)}
    assert sorted(pairs(corpus / "out") + pairs(corpus / "old")) == [4, 8, 12, 16, 20]


def test_a_base_fine_tuned_by_hand_goes_to_a_dated_directory(tmp_path):
    today = f"{date.today():%Y%m%d}"
    (tmp_path / "jvs_scratch").mkdir()
    expected = tmp_path / f"jvs_scratch_ft_{today}"
    assert dated_directory(tmp_path / "jvs_scratch") == expected
    assert dated_directory(tmp_path / "jvs_scratch" / "g_00055000") == expected


def test_mels_that_do_not_match_the_base_are_refused(corpus):
    train_in(corpus, "base")
    other = dataclasses.replace(TINY.spec, power=2)
    with pytest.raises(
        UserError, match=r"fine-tune on: its mel differs from that of .*g_00000008 in power 2 against 1"
    ):
        train_in(corpus, "tuned", steps=9, base=corpus / "base", new_rate=True, base_needed=True, mel=other)
    train_in(corpus, "tuned", steps=9, base=corpus / "base", new_rate=True, base_needed=True, mel=TINY.spec)


def test_fine_tuning_without_a_base_is_refused(corpus):
    with pytest.raises(UserError, match="no pair of g_<steps> and do_<steps> to fine-tune"):
        train_in(corpus, new_rate=True, base_needed=True)


def test_fewer_steps_than_the_base_has_are_refused(corpus):
    train_in(corpus, "base")
    with pytest.raises(UserError, match="8 are made already"):
        train_in(corpus, "tuned", steps=8, base=corpus / "base", new_rate=True, base_needed=True)


def test_a_nan_loss_stops_training_and_keeps_the_last_state(corpus, monkeypatch):
    from rtmri_speech.vocoder import train as module

    def poisoned(spec, real, made):
        poisoned.calls += 1
        return made.sum() * (float("nan") if poisoned.calls > 6 else 0.0)

    poisoned.calls = 0
    monkeypatch.setattr(module, "mel_error", poisoned)
    with pytest.raises(UserError, match=r"step 6: .* is nan"):
        train_in(corpus)
    assert newest_pair(corpus / "out")[0] == corpus / "out" / "g_00000004"
    assert (corpus / "out" / "state" / "state_00000004.pt").exists()


@pytest.fixture
def bfloat16(monkeypatch):
    """Say whether the processor computes in bfloat16."""
    return lambda computes: monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": computes})


def test_bfloat16_training_is_close_to_float32(corpus, bfloat16):
    bfloat16(True)
    train_in(corpus, "full", steps=4)
    train_in(corpus, "half", steps=4, bf16=True)
    full, half = (contents(corpus / name, 4)[0]["generator"] for name in ("full", "half"))
    assert not torch.equal(full["conv_post.weight_v"], half["conv_post.weight_v"])
    for name in full:
        torch.testing.assert_close(full[name], half[name], atol=0.02, rtol=0.1)


def test_without_bfloat16_arithmetic_the_training_is_in_float32(corpus, bfloat16):
    bfloat16(False)
    sentence = "Training in float32: the CPU has no bfloat16 arithmetic."
    assert sentence not in train_in(corpus, "full", steps=2)
    assert sentence in train_in(corpus, "half", steps=2, bf16=True)
    assert_equal(*(contents(corpus / name, 2)[0]["generator"] for name in ("full", "half")))


def command(corpus, name, steps, *more):
    return [
        sys.executable,
        str(SCRIPT),
        *("--config", corpus / "config.json", "--input_wavs_dir", corpus / "wavs"),
        *("--input_training_file", corpus / "training.txt", "--input_validation_file", corpus / "validation.txt"),
        *("--checkpoint_path", corpus / name, "--training_steps", str(steps), "--checkpoint_interval", "6"),
        *("--validation_interval", "6", "--summary_interval", "2", "--threads", "1", "--device", "cpu"),
        *more,
    ]


def scalars(directory):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for path in sorted(directory.glob("events*")):
        events = EventAccumulator(str(path)).Reload()
        for tag in events.Tags()["scalars"]:
            found.setdefault(tag, {}).update({event.step: event.value for event in events.Scalars(tag)})
    return found


def kill_and_resume(corpus, kills, steps):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command(corpus, "whole", steps), check=True, capture_output=True, env=environment)
    chance = random.Random(kills)
    for _ in range(kills):
        # In a group of its own, so that nothing else is hit.
        process = subprocess.Popen(
            command(corpus, "killed", steps), stderr=subprocess.PIPE, env=environment, start_new_session=True
        )
        logs = corpus / "killed" / "logs"
        before = len(list(logs.glob("*"))) if logs.exists() else 0
        while process.poll() is None and (not logs.exists() or len(list(logs.glob("*"))) <= before):
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command(corpus, "killed", steps), check=True, capture_output=True, env=environment)
    for a, b in zip(contents(corpus / "whole", steps), contents(corpus / "killed", steps), strict=True):
        assert_equal(a, b)
    assert pairs(corpus / "whole") == pairs(corpus / "killed")
    assert scalars(corpus / "whole" / "logs") == scalars(corpus / "killed" / "logs")


class Killed(BaseException):
    pass


def test_a_kill_between_the_first_checkpoint_and_its_state_does_not_change_the_result(corpus, monkeypatch):
    def save(self, step, payload):
        if step > 0:
            raise Killed
        save_state(self, step, payload)

    train_in(corpus, "whole")
    save_state = TrainingState.save
    monkeypatch.setattr(TrainingState, "save", save)
    with pytest.raises(Killed):
        train_in(corpus, "killed")
    assert list((corpus / "killed").glob("g_*"))
    monkeypatch.undo()
    train_in(corpus, "killed")
    for a, b in zip(contents(corpus / "whole", 8), contents(corpus / "killed", 8), strict=True):
        assert_equal(a, b)


@pytest.mark.slow
def test_kills_at_random_moments_do_not_change_the_result(corpus):
    """Between the points of tests/faults/crash_points.py."""
    kill_and_resume(corpus, kills=6, steps=60)


def test_sigterm_saves_the_state_and_exits_with_143(corpus):
    process = subprocess.Popen(command(corpus, "out", 100000), stderr=subprocess.PIPE, text=True)
    while not list((corpus / "out").glob("g_*")) and process.poll() is None:
        time.sleep(0.05)
    process.terminate()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "the same command resumes it" in error
    stopped = max(int(path.stem.split("_")[1]) for path in (corpus / "out" / "state").glob("state_*.pt"))
    assert f"stopped by a signal after step {stopped} of 100000" in error


@pytest.mark.slow
def test_two_processes_train_like_one(corpus):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name, start in (
        ("one", [sys.executable]),
        ("two", [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]),
    ):
        words = [*start, *map(str, command(corpus, name, 6)[1:])]
        subprocess.run(words, check=True, capture_output=True, env=environment)
    one, two = (contents(corpus / name, 6) for name in ("one", "two"))
    for key in ("generator",):
        for name, tensor in one[0][key].items():
            torch.testing.assert_close(two[0][key][name], tensor, atol=2e-3, rtol=0.02)
    assert json.loads((corpus / "two" / "config.json").read_text())["batch_size"] == 2


@pytest.mark.parametrize("clips", [4, 4000])
def test_a_rate_that_decays_by_steps_does_not_depend_on_the_number_of_clips(tmp_path, clips):
    write_noise(tmp_path, ["c0"])
    for number in range(1, clips):
        (tmp_path / "wavs" / f"c{number}.wav").hardlink_to(tmp_path / "wavs" / "c0.wav")
    write_filelist(tmp_path / "training.txt", [f"c{number}" for number in range(clips)])
    told = train_in(tmp_path, config=dataclasses.replace(TINY, lr_decay=0.1, lr_decay_steps=3))
    _, rest = contents(tmp_path / "out", 8)
    # The eighth step is taken after two decays, behind the third and the sixth.
    assert rest["optim_g"]["param_groups"][0]["lr"] == pytest.approx(TINY.learning_rate * 0.1**2, rel=1e-12)
    assert not any("lr_decay_steps" in sentence for sentence in told)


def test_a_rate_that_vanishes_in_short_epochs_is_reported(corpus):
    told = train_in(corpus, config=dataclasses.replace(TINY, lr_decay=0.1))
    (sentence,) = (sentence for sentence in told if "lr_decay_steps" in sentence)
    assert sentence.startswith("The learning rate falls to 1.0e-04 of its beginning in these 8 steps")
    # Eight steps over log(1/2) / log(1/10) of a decay each.
    assert sentence.endswith('"lr_decay_steps": 27 in the config.')
    assert not any("lr_decay_steps" in sentence for sentence in train_in(corpus, "slow"))


def test_fine_tuning_on_four_clips_learns_to_its_end(tmp_path):
    """Four clips make an epoch of one step: a rate that decays by epochs is gone before anything is learned."""
    ids = ["a", "b", "c", "d"]
    write_noise(tmp_path, ids)
    base = dataclasses.replace(TINY, batch_size=4, lr_decay=0.8, discriminator_start=None)
    train_in(tmp_path, "base", config=base, steps=4)
    errors = {}
    for name, config in (("by epochs", base), ("by steps", dataclasses.replace(base, lr_decay_steps=20))):
        tuned = {"steps": 54, "validation_interval": 50, "checkpoint_interval": 50}
        train_in(tmp_path, name, config=config, base=tmp_path / "base", new_rate=True, base_needed=True, **tuned)
        for steps in (4, 54):
            errors[name, steps] = validation_error(tmp_path, tmp_path / name / f"g_{steps:08d}", config)
    assert errors["by steps", 54] < 0.8 * errors["by steps", 4]
    assert errors["by steps", 54] < errors["by epochs", 54]


def validation_error(directory, checkpoint, config):
    """Mean mel error of a checkpoint over the validation clips."""
    generator, config = read_generator(checkpoint, config)
    errors = []
    for clip in open_clips(directory / "validation.txt", directory / "wavs", config):
        mel, audio = whole_clip(clip, config)
        with torch.no_grad():
            made = generator(torch.from_numpy(mel)[None])[0, 0]
        errors.append(float(mel_error(config.loss_mel, torch.from_numpy(audio), made)))
    return sum(errors) / len(errors)

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from logged import logged

from rtmri_speech.errors import UserError
from rtmri_speech.vocoder.checkpoint import (
    infer_padding,
    load_official,
    newest_pair,
    official_state,
    prune_pairs,
    read_generator,
    write_pair,
)
from rtmri_speech.vocoder.config import VocoderConfig, read_config
from rtmri_speech.vocoder.discriminators import MultiPeriodDiscriminator, MultiScaleDiscriminator
from rtmri_speech.vocoder.generator import Generator
from rtmri_speech.vocoder.naming import discriminator_file, discriminators_beside, generator_file, pairs, steps_of

DATA = Path(__file__).parent / "data"


@pytest.fixture(params=["hifigan_official_tiny", "hifigan_lab_tiny"])
def folder(request):
    return DATA / request.param


def test_load_save_load_keeps_keys_shapes_and_bits(folder, tmp_path):
    original = torch.load(folder / "g_00000000", weights_only=True)["generator"]
    generator, _ = read_generator(folder / "g_00000000", read_config(folder))
    write_pair(tmp_path, 7, {"generator": official_state(generator)}, {})
    shutil.copy(folder / "config.json", tmp_path)
    written = torch.load(tmp_path / "g_00000007", weights_only=True)
    assert list(written) == ["generator"]
    assert list(written["generator"]) == list(original)
    for name, tensor in original.items():
        assert torch.equal(written["generator"][name], tensor), name
    again, _ = read_generator(tmp_path / "g_00000007", read_config(tmp_path))
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), generator.parameters(), strict=True))


def test_wrapper_prefixes_of_distributed_training_are_removed(folder, tmp_path):
    content = torch.load(folder / "g_00000000", weights_only=True)
    wrapped = {f"module.{name}": tensor for name, tensor in content["generator"].items()}
    torch.save({**content, "generator": wrapped}, tmp_path / "g_00000000")
    (ours, config), (there, _) = (
        read_generator(place / "g_00000000", read_config(folder)) for place in (tmp_path, folder)
    )
    assert config.padding in ("lab", "official")
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), there.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "claimed", "reason"),
    [
        ("hifigan_official_tiny", "lab", "official padding .its conv_pre is weight-normed"),
        ("hifigan_lab_tiny", "official", "lab padding .its conv_pre is plain although its ups are weight-normed"),
    ],
)
def test_the_wrong_padding_is_refused_with_the_reason(name, claimed, reason):
    config = dataclasses.replace(read_config(DATA / name), padding=claimed)
    with pytest.raises(UserError, match=reason):
        read_generator(DATA / name / "g_00000000", config)


def test_a_folded_file_needs_a_config_with_padding():
    folded = ["conv_pre.weight", "ups.0.weight"]
    assert infer_padding(folded, "lab", "g") == "lab"
    with pytest.raises(UserError, match="folded"):
        infer_padding(folded, None, "g")


def test_a_folded_file_gives_the_same_sound(tmp_path):
    folder = DATA / "hifigan_lab_tiny"
    generator, _ = read_generator(folder / "g_00000000", read_config(folder))
    torch.save({"generator": generator.fold().state_dict()}, tmp_path / "g_00000000")
    folded, _ = read_generator(tmp_path / "g_00000000", dataclasses.replace(read_config(folder), padding="lab"))
    mel = torch.randn(1, 64, 8) - 4
    with torch.no_grad():
        assert torch.equal(folded(mel), generator.fold()(mel))


def test_a_checkpoint_incompatible_with_its_config_is_refused_with_both_shapes():
    folder = DATA / "hifigan_official_tiny"
    config = dataclasses.replace(read_config(folder), upsample_initial_channel=64)
    with pytest.raises(UserError, match=r"conv_pre\.bias has the shape \(32,\), the config asks for \(64,\)"):
        read_generator(folder / "g_00000000", config)
    config = dataclasses.replace(read_config(folder), resblock="1")
    with pytest.raises(UserError, match="lacks resblocks"):
        read_generator(folder / "g_00000000", config)


def test_the_mel_stored_in_a_checkpoint_must_be_its_configs(tmp_path):
    folder = DATA / "hifigan_official_tiny"
    generator, config = read_generator(folder / "g_00000000", read_config(folder))
    mel = {**config.spec.to_dict(), "n_fft": 1024, "win_length": 1024}
    write_pair(tmp_path, 0, {"generator": official_state(generator), "mel": mel}, {})
    with pytest.raises(UserError, match="n_fft 1024 against 2048"):
        read_generator(tmp_path / "g_00000000", read_config(folder))


def test_weights_that_are_not_finite_are_refused():
    generator = Generator(VocoderConfig(padding="official", upsample_initial_channel=16))
    state = official_state(generator)
    state["conv_pre.bias"][0] = torch.nan
    with pytest.raises(UserError, match=r"conv_pre\.bias that are not finite"):
        load_official(generator, state, "g")


def test_discriminators_have_the_official_names():
    config = VocoderConfig(padding="official")
    mpd, msd = (set(official_state(d(config))) for d in (MultiPeriodDiscriminator, MultiScaleDiscriminator))
    layers = [*(f"convs.{n}" for n in range(5)), "conv_post"]
    assert mpd == {
        f"discriminators.{d}.{layer}.{name}"
        for d in range(5)
        for layer in layers
        for name in ("bias", "weight_g", "weight_v")
    }
    layers = [*(f"convs.{n}" for n in range(7)), "conv_post"]
    spectral, weight = ("bias", "weight_orig", "weight_u", "weight_v"), ("bias", "weight_g", "weight_v")
    assert msd == {
        f"discriminators.{d}.{layer}.{name}"
        for d in range(3)
        for layer in layers
        for name in (weight if d else spectral)
    }


def test_official_discriminator_files_load_into_torchs_old_norms():
    """The official program builds its layers with torch's older weight_norm and spectral_norm."""
    config = VocoderConfig(padding="official", msd_divisor=16)
    ours = MultiScaleDiscriminator(config).eval()
    for discriminator, norm in zip(
        ours.discriminators, (torch.nn.utils.spectral_norm, torch.nn.utils.weight_norm), strict=False
    ):
        state = official_state(discriminator)
        made = discriminator.convs[2]
        plain = torch.nn.Conv1d(made.in_channels, made.out_channels, 41, 2, groups=made.groups, padding=20)
        old = norm(plain).eval()
        old.load_state_dict({n.removeprefix("convs.2."): t for n, t in state.items() if n.startswith("convs.2.")})
        x = torch.randn(1, made.in_channels, 100)
        torch.testing.assert_close(old(x), made(x), rtol=0, atol=1e-6)


def write_numbered(directory, *steps):
    for number in steps:
        write_pair(directory, number, {"generator": {"x": torch.zeros(50)}}, {"steps": number})


def test_an_incomplete_pair_is_ignored(tmp_path):
    write_numbered(tmp_path, 10, 20, 30)
    generator_file(tmp_path, 30).unlink()
    discriminator_file(tmp_path, 20).unlink()
    assert pairs(tmp_path) == [10]


@pytest.mark.parametrize("names", [("g_00000020.pt", "do_00000020.pt"), ("g_20", "do_00000020"), ("g_20.pt", "do_20")])
def test_pairs_of_other_spellings_are_found(tmp_path, names):
    write_numbered(tmp_path, 10, 20)
    generator, rest = (tmp_path / name for name in names)
    generator_file(tmp_path, 20).rename(generator)
    discriminator_file(tmp_path, 20).rename(rest)
    assert pairs(tmp_path) == [10, 20]
    assert steps_of(generator) == 20 and discriminators_beside(generator) == rest
    assert newest_pair(tmp_path)[0] == generator


@pytest.mark.parametrize("broken", [generator_file, discriminator_file])
def test_a_truncated_newest_pair_is_skipped_with_a_warning(tmp_path, broken):
    write_numbered(tmp_path, 10, 20)
    path = broken(tmp_path, 20)
    path.write_bytes(path.read_bytes()[:-200])
    with logged() as told:
        generator, _, rest = newest_pair(tmp_path)
    assert generator == generator_file(tmp_path, 10) and rest["steps"] == 10
    assert str(path) in told[0] and "the pair before it is used" in told[0]


def test_pruning_keeps_the_last_the_best_every_kth_and_other_files(tmp_path):
    write_numbered(tmp_path, *range(10, 100, 10))
    made = range(20, 100, 10)
    gone = prune_pairs(tmp_path, made, keep_last=2, best=40, keep_every=30, archive=tmp_path / "old")
    assert gone == [20, 50, 70]
    assert pairs(tmp_path) == [10, 30, 40, 60, 80, 90]
    assert pairs(tmp_path / "old") == [20, 50, 70]
    assert prune_pairs(tmp_path, [30, 40, 60, 80, 90], keep_last=1) == [30, 40, 60, 80]
    assert pairs(tmp_path) == [10, 90]

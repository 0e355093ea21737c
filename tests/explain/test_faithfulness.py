"""Measures of maps where the right value is known."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from test_gradcam import F1, F2, bundle_of, one_place_bundle, small_bundle

from rtmri_speech.acoustic.data import prepared_frames
from rtmri_speech.acoustic.model import AcousticModel, Network
from rtmri_speech.acoustic.predict import AcousticBundle
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError
from rtmri_speech.explain import faithfulness
from rtmri_speech.explain.bands import Band, filters
from rtmri_speech.explain.check import check, methods
from rtmri_speech.explain.faithfulness import Deletion, in_cells, peaks_inside, randomised, rank_correlation
from rtmri_speech.explain.regions import Regions
from rtmri_speech.explain.truth import Truth, contrast, truth_map
from rtmri_speech.report.faithfulness import faithfulness_table, leaders
from rtmri_speech.signal.audio import write_wav


def test_rank_correlation_is_spearmans_also_with_ties():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, (3, 5)), rng.normal(size=(3, 5))
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel())[0])
    assert rank_correlation(b, np.exp(b)) == pytest.approx(1)
    assert np.isnan(rank_correlation(b, np.ones((3, 5))))


def test_fine_maps_are_averaged_in_cells_and_coarse_ones_interpolated():
    fine = np.random.default_rng(0).random((2, 64, 64))
    np.testing.assert_allclose(in_cells(fine), fine.reshape(2, 16, 4, 16, 4).mean((2, 4)), rtol=1e-5)
    assert in_cells(np.ones((1, 8, 8))).shape == (1, 16, 16)


def test_the_network_is_randomised_from_the_output_on():
    bundle = small_bundle()
    before = torch.random.get_rng_state()
    steps = dict(randomised(bundle, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    trained = bundle.model.state_dict()
    changed = {
        what: {key for key, value in model.model.state_dict().items() if not torch.equal(value, trained[key])}
        for what, model in steps.items()
    }
    assert list(changed) == ["output layer", "and LSTM", "and half of the CNN", "all"]
    assert changed["output layer"] == {"head.weight", "head.bias"}
    assert {key.split(".")[0] for key in changed["and LSTM"]} == {"head", "rnn"}
    half = changed["and half of the CNN"]
    assert any("blocks.4" in key for key in half) and not any("conv_stem" in key for key in half)
    weights = {key for key, value in bundle.model.named_parameters() if value.dim() > 1}
    assert weights <= changed["all"]
    again, other = (dict(randomised(bundle, seed))["all"].model.head.weight for seed in (1, 2))
    assert torch.equal(again, steps["all"].model.head.weight) and not torch.equal(again, other)


def test_principal_components_are_not_trained_and_stay():
    bundle = bundle_of(AcousticModel(Network("principal_components", components=4, rnn_hidden=4)), (32, 32))
    assert [what for what, _ in randomised(bundle, 0)] == ["output layer", "and LSTM"]


def test_peaks_are_counted_in_frames_with_mass():
    maps = np.zeros((4, 8, 8))
    maps[0, 1, 1] = maps[1, 6, 6] = maps[2, 2, 0] = 1
    region = np.zeros((64, 64), bool)
    region[:32, :32] = True
    assert peaks_inside(maps, region) == pytest.approx(2 / 3)
    assert np.isnan(peaks_inside(maps[3:], region))


def deletion_of_one_place():
    """F1 is linear (in dB) in how much of the upper left quarter is not yet still."""
    frames = np.broadcast_to(np.uint8([90, 120, 150, 180])[:, None, None], (4, 64, 64))
    bundle = one_place_bundle()
    pictures = prepared_frames(frames, (64, 64), "unit")
    return Deletion(bundle, pictures, filters([F1, F2], bundle.mel), np.ones(4, bool), "sequence", 0)


def test_deletion_of_the_only_place_that_counts_has_its_closed_form():
    deletion = deletion_of_one_place()
    right = np.zeros((4, 16, 16))
    right[:, :8, :8] = 1 + np.random.default_rng(0).random((8, 8))
    shares = np.array(faithfulness.SHARES)
    best = np.mean(np.minimum(4 * shares, 1) - shares)
    found = deletion.gaps(right, "F1")
    # Random orders delete their share of the quarter, give or take the chance of three.
    assert found["deletion"] == pytest.approx(best, abs=0.08)
    assert found["insertion"] == pytest.approx(best, abs=0.08)
    wrong = deletion.gaps(2 - right, "F1")
    worst = np.mean(np.maximum(shares - 0.75, 0) / 0.25 - shares)
    assert wrong["deletion"] == pytest.approx(worst, abs=0.08)
    assert max(deletion.gaps(right, "F2").values()) < 0


def test_a_map_of_ties_is_ordered_by_chance():
    found = np.mean([list(deletion_of_one_place().gaps(np.ones((4, 16, 16)), "F1").values()) for _ in range(3)])
    assert abs(found) < 0.1


def test_the_truth_is_where_an_articulator_shows_weighted_by_what_it_does():
    lips, tongue = np.zeros((2, 4, 4)), np.zeros((2, 4, 4))
    lips[:, 0, 0], tongue[:, 2:, 2:] = 50, 10
    # The lips do not show in the second frame.
    lips[1] = 0
    found = truth_map([lips, tongue], [np.array([-3.0, 2.0]), np.array([1.0, 4.0])])
    expected = np.zeros((2, 4, 4))
    expected[0, 0, 0], expected[0, 2:, 2:], expected[1, 2:, 2:] = 3, 1 / 4, 1
    np.testing.assert_allclose(found, expected)


def test_contrast_ignores_what_bands_share():
    rng = np.random.default_rng(0)
    shared, first, second = 100 * rng.random((8, 8)), rng.random((8, 8)), rng.random((8, 8))
    truth = {"F1": shared + first / first.sum(), "F2": shared + second / second.sum()}
    assert contrast(truth, truth) == pytest.approx(1)
    assert contrast(dict(zip(truth, reversed(truth.values()), strict=True)), truth) == pytest.approx(-1)
    assert np.isnan(contrast({"F1": shared, "F2": shared}, truth))


@pytest.fixture
def checked(tiny_processed, tmp_path, monkeypatch):
    """The measures of two clips of a tiny corpus, by an untrained network."""
    monkeypatch.setattr(faithfulness, "SHARES", (0.15,))
    monkeypatch.setattr("rtmri_speech.explain.maps.PLACES", 2)
    spec, scaler = load_mel_spec(tiny_processed), Scaler.load(tiny_processed / "scaler.json")
    torch.manual_seed(0)
    model = AcousticModel(Network("test_efficientnet", rnn_hidden=8, n_mels=spec.n_mels)).eval()
    bundle = AcousticBundle(model, "model.pt", (32, 32), (32, 32), "unit", 4, spec, scaler, None)
    rng = np.random.default_rng(0)
    bands = [Band("low", 0, 1500), Band("high", 1500, 5000)]
    for id, frames in (("a4", 8), ("a5", 9)):
        noise = 0.1 * rng.standard_normal(frames * spec.hop_length)
        write_wav(tiny_processed / "wavs" / f"{id}.wav", noise, spec.sampling_rate)
        moving = rng.integers(0, 256, (3, frames, 32, 32), dtype=np.uint8)
        (tmp_path / "truth").mkdir(exist_ok=True)
        np.save(tmp_path / "truth" / f"{id}_pictures.npy", moving)
        np.save(tmp_path / "truth" / f"{id}_power.npy", rng.random((3, frames, spec.n_mels)))
        (tmp_path / "truth" / f"{id}.json").write_text('{"movements": ["lips", "tongue"]}')
    halves = {
        "inside": {"left": [[0, 0], [120, 0], [120, 256], [0, 256]]},
        "outside": {
            "upper": [[120, 0], [256, 0], [256, 128], [120, 128]],
            "lower": [[120, 128], [256, 128], [256, 256], [120, 256]],
        },
    }
    return lambda **given: check(bundle, tiny_processed, ["a4", "a5"], bands, regions=Regions(halves), **given)


def test_every_method_has_every_measure(checked, tmp_path):
    found = checked(truth_dir=tmp_path / "truth")
    stages = [f"Grad-CAM, stride {stride}" for stride in (32, 16, 8, 4, 2)]
    assert list(found["methods"]) == [*stages, "integrated gradients", "occlusion", "motion"]
    for title, of in found["methods"].items():
        assert of["model"] == (title != "motion")
        for values in of["bands"].values():
            assert {"randomised", "randomised_average", "deletion", "insertion", "peaks", "masking", "truth",
                    "truth_randomised", "truth_network"} == set(values)  # fmt: skip
            assert values["deletion"]["n"] == 2
    # Without a model, there is nothing to randomise, and no difference between bands.
    moving = found["methods"]["motion"]
    assert moving["bands"]["low"]["randomised"]["mean"] == pytest.approx(1)
    assert moving["contrast"]["mean"] is None
    assert list(found["cascade"]) == [*stages, "integrated gradients"]
    table = faithfulness_table(found)
    assert "| motion | low |" in table and "| low against high: network ↑ |" in table
    for of in found["movements"].values():
        assert sum(of["network"].values()) == pytest.approx(1) and list(of["network"]) == ["lips", "tongue"]
    assert "| lips | " in table


def test_without_regions_and_truth_the_others_remain(checked):
    found = checked()
    occlusion = found["methods"]["occlusion"]
    assert "truth" not in occlusion["bands"]["low"] and "contrast" not in occlusion
    assert "synthesiser" not in faithfulness_table(found)


def test_a_missing_truth_or_one_of_other_frames_is_refused(checked, tmp_path):
    with pytest.raises(UserError, match=r"a4\.json"):
        checked(truth_dir=tmp_path)
    np.save(tmp_path / "truth" / "a4_pictures.npy", np.zeros((3, 2, 32, 32), np.uint8))
    with pytest.raises(UserError, match=r"a4_pictures\.npy: holds uint8 of shape \(3, 2, 32, 32\); make it again by"):
        checked(truth_dir=tmp_path / "truth")


def test_the_networks_truth_is_what_it_predicts_from_moved_pictures(tmp_path):
    """F1 depends on the upper left quarter alone: of two movements, only the one there changes the prediction."""
    bundle = one_place_bundle()
    still = np.full((3, 64, 64), 100, np.uint8)
    lips, tongue = still.copy(), still.copy()
    lips[:, :16, :16], tongue[:, 40:, 40:] = 200, 200
    power = np.zeros((3, 3, bundle.mel.n_mels))
    power[1], power[2] = 1, -4
    np.save(tmp_path / "a_pictures.npy", np.stack([still, lips, tongue]))
    np.save(tmp_path / "a_power.npy", power)
    (tmp_path / "a.json").write_text('{"movements": ["lips", "tongue"]}')
    truth = Truth.of_clip(tmp_path, "a", bundle, filters([F1, F2], bundle.mel), "sequence")
    assert truth.shares("synthesiser")["F1"] == pytest.approx({"lips": 0.2, "tongue": 0.8})
    assert truth.shares("network") == {"F1": {"lips": 1, "tongue": 0}, "F2": {"lips": 0, "tongue": 1}}
    seen = truth.maps("network")["F1"]
    assert seen[:, :16, :16].min() > 0 and seen[:, :16, :16].sum() == pytest.approx(seen.sum())
    heard = truth.maps("synthesiser")["F1"]
    assert heard[:, 40:, 40:].sum() == pytest.approx(4 * heard[:, :16, :16].sum())


def test_stages_with_too_many_cells_are_left_out():
    titles = [title for title in methods(small_bundle()) if title.startswith("Grad-CAM")]
    assert titles == [f"Grad-CAM, stride {stride}" for stride in (32, 16, 8, 4, 2)]


def table_of(**means):
    interval = {"low": 0.1, "high": 0.2}
    return {
        title: {
            "model": title != "motion",
            "bands": {"F1": {name: {"mean": mean} | interval for name, mean in of.items()}},
        }
        for title, of in means.items()
    }


def test_the_best_map_leads_in_most_columns_and_a_baseline_that_wins_is_named():
    methods = table_of(
        a={"deletion": 0.5, "insertion": 0.1, "peaks": 0.9},
        b={"deletion": 0.4, "insertion": 0.2, "peaks": 0.8},
        motion={"deletion": 0.6, "insertion": 0.3, "peaks": 0.1},
    )
    assert leaders(methods) == {("deletion", "F1"): "a", ("insertion", "F1"): "b", ("peaks", "F1"): "a"}
    text = faithfulness_table({"clips": ["000"], "methods": methods, "cascade": {"a": {"F1": {"all": None}}}})
    assert "does best is **a**: it leads in 2 of 3" in text
    assert "as good in deletion of F1, insertion of F1." in text
    assert "| a | F1 | 0.50 (0.10 – 0.20) |" in text

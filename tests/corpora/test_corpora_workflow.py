"""From each public set's miniature to a dataset by one command, and what is said along the way."""

import json
from fractions import Fraction

import miniatures
import numpy as np
import pytest
from workflow_checkout import Checkout

from rtmri_speech.corpora.configured import SETS
from rtmri_speech.signal.mel import fitting_mel

pytestmark = pytest.mark.slow

EXPECTED = {
    "usc75": (12, "found 12 clips, expected 2371"),
    "usc_timit": (16, "found 2 speakers, expected 10"),
    "usc_lss": (6, "found 6 utterances, expected 684"),
    "atr503": (5, "found 5 sentences, expected 503"),
    "rtmridb": (12, "rows without a start and an end"),
    "artspeech": (7, "sessions without a wav"),
}


def checkout_of(name, tmp_path) -> Checkout:
    rate = SETS[name].RATE or Fraction(27)
    sampling_rate, hop = fitting_mel(rate, 11413, 0.001)
    directory = tmp_path / "研究 1"
    directory.mkdir()
    corpus = {"source": name, "directory": str(miniatures.SETS[name](tmp_path))}
    if name == "usc75":
        corpus["phonemes"] = str(tmp_path / "annot16")
    return Checkout(
        directory,
        {
            "results": "r",
            "corpus": corpus,
            "video": {"size": [32, 32]},
            "mel": {
                "n_fft": 1024,
                "win_length": 1024,
                "n_mels": 16,
                "sampling_rate": sampling_rate,
                "hop_length": hop,
                "fmax": 5000,
            },
            "bands": {"F1": [300, 900]},
            "vocoder": {"config": "config/hifigan_set.json"},
        },
    )


def with_vocoder(checkout):
    """A vocoder's config of the same mel, which a plan compares."""
    path = checkout.directory / "config" / "hifigan_tiny.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    mel = checkout.settings["mel"]
    rates, hop = [], mel["hop_length"]
    for prime in (2, 3, 5, 7):
        while hop % prime == 0:
            rates.append(prime)
            hop //= prime
    config |= {"sampling_rate": mel["sampling_rate"], "hop_size": mel["hop_length"], "fmax": mel["fmax"]}
    config |= {"n_fft": 1024, "win_size": 1024}
    config |= {"upsample_rates": rates, "upsample_kernel_sizes": [3 * rate - rate % 2 * 2 for rate in rates]}
    config |= {"segment_size": 6 * mel["hop_length"], "upsample_initial_channel": 2 ** (len(rates) + 1)}
    (checkout.directory / "config" / "hifigan_set.json").write_text(json.dumps(config), encoding="utf-8")
    return checkout


@pytest.mark.parametrize("name", SETS)
def test_one_command_makes_the_dataset_of_a_set(tmp_path, name):
    checkout = with_vocoder(checkout_of(name, tmp_path))
    made = checkout.make("dataset")
    clips, words = EXPECTED[name]
    assert words in made
    described = json.loads((checkout.results / "dataset" / "clips.json").read_text(encoding="utf-8"))
    assert len(described["clips"]) == clips
    for id in described["clips"]:
        sample = checkout.results / "dataset" / "samples" / id
        mri, mel = np.load(sample / "mri.npy"), np.load(sample / "mel_db.npy")
        assert len(mri) == len(mel) > 5 and mri.max() > 150 and np.ptp(mel) > 20
    assert checkout.pending("dataset") == set()

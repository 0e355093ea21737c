"""Made once, copied for each test: the dataset of a tiny corpus."""

import shutil

import pytest
from workflow_checkout import CLIPS, NAMED, Checkout, make_recording


@pytest.fixture(scope="session")
def made_dataset(tmp_path_factory) -> Checkout:
    """A checkout, in a directory with a Japanese name and a space, whose dataset is made; copy it before a change."""
    directory = tmp_path_factory.mktemp("base") / "山根 研究用"
    directory.mkdir()
    settings = {
        "results": "結果 1",
        "corpus": {"source": "directories", "videos": "動画 videos", "audio": "audio"},
        "video": {"size": [32, 32]},
        "mel": {"n_fft": 512, "n_mels": 16},
        "bands": {"F1": [300, 900]},
        "split": {"named": NAMED},
        "vocoder": {"config": "config/hifigan_tiny.json"},
    }
    checkout = Checkout(directory, settings)
    for number, id in enumerate(CLIPS):
        make_recording(directory / "動画 videos" / f"{id}.mp4", directory / "audio" / f"{id}.wav", number)
    checkout.make("dataset")
    return checkout


@pytest.fixture
def checkout(made_dataset, tmp_path) -> Checkout:
    """A copy of the made dataset's checkout, to be changed freely; file times are kept."""
    copy = Checkout.__new__(Checkout)
    copy.directory = tmp_path / "作業 copy"
    shutil.copytree(made_dataset.directory, copy.directory)
    copy.settings = {
        name: dict(section) if isinstance(section, dict) else section for name, section in made_dataset.settings.items()
    }
    return copy

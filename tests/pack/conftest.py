"""Tiny models, and the pack of them."""

import pytest
import tiny_models

from rtmri_speech.pack.export import make_pack
from rtmri_speech.settings.use import Pack

TERMS = Pack("MIT", "nobody: random weights", "none is needed")


@pytest.fixture(scope="session")
def tiny_checkpoints(tmp_path_factory):
    """A mel generator of random weights and a vocoder of its mel."""
    folder = tmp_path_factory.mktemp("models")
    return (
        tiny_models.write_acoustic(folder / "mri_acoustic_model.pt"),
        tiny_models.write_vocoder(folder / "g_00000001"),
    )


@pytest.fixture(scope="session")
def tiny_pack(tiny_checkpoints, tmp_path_factory):
    """The pack of `tiny_checkpoints`."""
    path = tmp_path_factory.mktemp("pack") / "tiny.pack"
    make_pack(path, *tiny_checkpoints, TERMS, context="window")
    return path

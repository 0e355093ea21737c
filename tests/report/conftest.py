"""A page made once for the tests that read it."""

import pytest
from report_experiment import make_experiment

from rtmri_speech.report.page import write_page
from rtmri_speech.signal.mel import MelSpec

SPEC = MelSpec.preset("hifigan", n_fft=512, win_length=512, n_mels=12)


@pytest.fixture(scope="session")
def experiment(make_tiny_processed, tmp_path_factory):
    """Three test clips, three rows, in a directory with a Japanese name and a space."""
    return make_experiment(tmp_path_factory.mktemp("実験 report"), make_tiny_processed, SPEC)


@pytest.fixture(scope="session")
def page(experiment, tmp_path_factory):
    """The directory of its page."""
    directory = tmp_path_factory.mktemp("頁 page") / "report"
    write_page(directory, experiment)
    return directory

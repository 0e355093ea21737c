"""The device of the tests marked ``gpu``: CUDA, or the value of RTMRI_SPEECH_GPU_TESTS, to run them without a GPU."""

import os

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def device():
    """The device under test."""
    name = os.environ.get("RTMRI_SPEECH_GPU_TESTS", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return name

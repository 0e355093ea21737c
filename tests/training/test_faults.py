import pytest
import torch

from rtmri_speech.errors import UserError
from rtmri_speech.training.faults import reporting_out_of_memory


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported asynchronously"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
    ids=["torch", "driver", "cublas", "cudnn", "cpu"],
)
def test_out_of_memory_names_the_setting_to_lower(error):
    with (
        pytest.raises(UserError, match=r"memory: an allocation failed .*lower batch_size"),
        reporting_out_of_memory("lower batch_size"),
    ):
        raise error


def test_other_device_errors_are_not_reported_as_out_of_memory():
    with pytest.raises(RuntimeError, match="illegal"), reporting_out_of_memory("lower batch_size"):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

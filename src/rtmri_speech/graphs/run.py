"""An ONNX graph in use: ONNX Runtime on the processor, with the threads it is given and no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from rtmri_speech.errors import UserError

_FAULTS = (
    state.EPFail,
    state.EngineError,
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NoModel,
    state.NoSuchFile,
    state.NotImplemented,
    state.RuntimeException,
    MemoryError,
    RuntimeError,
)
"""What ONNX Runtime raises for a graph it cannot run; they have no class in common."""

_FATAL = 4
"""The severity from which on ONNX Runtime logs: what it says of others the user need not act on."""


class Graph:
    """A graph of one input and one output, ready for use.

    Parameters
    ----------
    content : the graph.
    source : where it is from, for a refusal.
    threads : processor threads. Without a number ONNX Runtime pins one to each core of the machine, also to those that
        a cluster or a container keeps for others, which fails or hangs.

    Raises
    ------
    UserError
        ONNX Runtime does not take the graph.
    """

    def __init__(self, content: bytes, source: str | Path, threads: int) -> None:
        onnxruntime.set_default_logger_severity(_FATAL)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        # Threads that wait do so without computing: they took as much of the processor as those that worked.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        # What is planned for a shape is kept for each, and each clip ends in another one.
        options.enable_mem_pattern = False
        self._source = source
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except _FAULTS as error:
            raise self._refusal(error) from None
        (self._input,) = (port.name for port in self._session.get_inputs())

    def __call__(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return the output for an input.

        Raises
        ------
        UserError
            ONNX Runtime fails, or the output has not the ``shape``, whatever the graph promised.
        """
        try:
            (output,) = self._session.run(None, {self._input: array})
        except _FAULTS as error:
            raise self._refusal(error) from None
        if output.shape != shape:
            raise UserError(self._source, f"makes an output {output.shape} where {shape} is wanted", _REMEDY)
        return output

    def _refusal(self, error: BaseException) -> UserError:
        reason = str(error).strip().split("\n")[0][:200] or type(error).__name__
        return UserError(self._source, f"cannot be run by ONNX Runtime {onnxruntime.__version__} ({reason})", _REMEDY)


_REMEDY = "make the graph again with the versions of this project (constraints.txt)"

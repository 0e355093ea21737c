"""Runs an ONNX graph by ONNX Runtime on the CPU, with a given number of threads."""

from __future__ import annotations

from collections.abc import Sequence
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
"""Raised by ONNX Runtime for a graph it cannot run; there is no common base class."""

_FATAL = 4
"""ONNX Runtime's log level; its warnings are not actionable for the user."""


class Graph:
    """A loaded graph.

    Parameters
    ----------
    content : the graph.
    source : its file, for errors.
    threads : CPU threads. By default ONNX Runtime pins one to each core of the machine, including cores that a cluster
        or container withholds, which fails or hangs.

    Raises
    ------
    UserError
        ONNX Runtime refuses the graph.
    """

    def __init__(self, content: bytes, source: str | Path, threads: int) -> None:
        onnxruntime.set_default_logger_severity(_FATAL)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        # Waiting threads sleep; spinning ones used as much CPU as working ones.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        # Memory patterns are cached per input shape, and the shape differs for the end of each clip.
        options.enable_mem_pattern = False
        self._source = source
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except _FAULTS as error:
            raise self._refusal(error) from None
        self._inputs = [port.name for port in self._session.get_inputs()]

    def __call__(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return the output of a graph with one input and one output; see `outputs`."""
        return self.outputs([array], [shape])[0]

    def outputs(self, arrays: Sequence[np.ndarray], shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        """Return the outputs for inputs.

        Raises
        ------
        UserError
            ONNX Runtime fails, or the outputs do not have ``shapes``, whatever the graph declares.
        """
        try:
            outputs = self._session.run(None, dict(zip(self._inputs, arrays, strict=True)))
        except _FAULTS as error:
            raise self._refusal(error) from None
        found = [output.shape for output in outputs]
        if found != [*shapes]:
            raise UserError(self._source, f"returns outputs of shape {found}, not {[*shapes]}", _REMEDY)
        return outputs

    def _refusal(self, error: BaseException) -> UserError:
        reason = str(error).strip().split("\n")[0][:200] or type(error).__name__
        return UserError(self._source, f"cannot be run by ONNX Runtime {onnxruntime.__version__} ({reason})", _REMEDY)


_REMEDY = "make the graph again with the versions of this project (constraints.txt)"

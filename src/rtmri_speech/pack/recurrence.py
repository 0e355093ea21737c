"""Builds the recurrent part of the mel generator as an ONNX graph, operator by operator.

PyTorch's exporter silently fixes the example's length, and the graph fails for any other.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from rtmri_speech.acoustic.model import AcousticModel
from rtmri_speech.errors import UserError
from rtmri_speech.graphs.trace import IR_VERSION, OPSET, serialised

_DIRECTIONS = ("", "_reverse")
_LSTM = [f"rnn.lstm.{kind}_l0{end}" for end in _DIRECTIONS for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
CARRIED = {*_LSTM, "head.weight", "head.bias"}
"""Weights in the graph."""


def recurrence_graph(model: AcousticModel, source: str) -> bytes:
    """Return a graph from features ``(B, T, C)`` to `AcousticModel.outputs` ``(B, T, O)``; B and T are free.

    With ``speaker_embedding`` the features end with the speaker's vector.

    Raises
    ------
    UserError
        Weights outside the CNN differ from `CARRIED`; the error names ``source`` and the first difference.
    """
    weights = {
        name: tensor.detach().float().cpu().numpy()
        for name, tensor in model.state_dict().items()
        if not name.startswith(("cnn.", "speakers."))
    }
    if differing := sorted(weights.keys() ^ CARRIED):
        raise UserError(
            source,
            f"{'has' if differing[0] in weights else 'lacks'} {differing[0]}, and a pack holds one bidirectional LSTM "
            "and one linear layer",
            "use torch (synthesis: {engine: torch})",
        )
    channels, (outputs, hidden) = weights["rnn.lstm.weight_ih_l0"].shape[1], weights["head.weight"].shape

    def both(kind: str) -> list[np.ndarray]:
        return [_reordered(weights[f"rnn.lstm.{kind}_l0{end}"]) for end in _DIRECTIONS]

    biases = [np.concatenate(pair) for pair in zip(both("bias_ih"), both("bias_hh"), strict=True)]
    constants = {
        "W": np.stack(both("weight_ih")),
        "R": np.stack(both("weight_hh")),
        "B": np.stack(biases),
        "head_weight": np.ascontiguousarray(weights["head.weight"].T),
        "head_bias": weights["head.bias"],
        "directions": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Transpose", ["features"], ["by_time"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["by_time", "W", "R", "B"], ["hidden"], hidden_size=hidden, direction="bidirectional"),
        helper.make_node("ReduceSum", ["hidden", "directions"], ["added"], keepdims=0),
        helper.make_node("MatMul", ["added", "head_weight"], ["weighted"]),
        helper.make_node("Add", ["weighted", "head_bias"], ["mel_by_time"]),
        helper.make_node("Transpose", ["mel_by_time"], ["mel"], perm=[1, 0, 2]),
    ]
    graph = helper.make_graph(
        nodes,
        "recurrence",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["windows", "frames", channels])],
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["windows", "frames", outputs])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return serialised(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION))


def _reordered(gates: np.ndarray) -> np.ndarray:
    """Reorder rows by gate from torch's order (input, forget, cell, output) to ONNX's (input, output, forget, cell)."""
    entry, forget, cell, output = np.split(gates, 4)
    return np.concatenate([entry, output, forget, cell])

"""Converts the convolutions of a graph to 8-bit integers, by ONNX Runtime's static quantization.

Weights get a scale per output channel; activations get one per tensor, from the smallest and largest values that
examples reach (Jacob et al., *Quantization and training of neural networks*, 2018).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rtmri_speech.graphs.trace import serialised


def in_int8(graph: bytes, examples: Sequence[np.ndarray]) -> bytes:
    """Return a graph with weights and activations in 8 bits and the same input and output.

    Parameters
    ----------
    graph : with one input of a fixed shape.
    examples : typical inputs, at least one.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph))

    class Examples(CalibrationDataReader):
        def __init__(self) -> None:
            self._rest = iter(examples)

        def get_next(self) -> dict[str, np.ndarray] | None:
            example = next(self._rest, None)
            return None if example is None else {model.graph.input[0].name: example}

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "int8.onnx")
        root = logging.getLogger()
        level = root.level
        # It logs advice to the root logger that does not apply: the shapes are inferred.
        root.setLevel(logging.ERROR)
        try:
            quantize_static(
                model,
                path,
                Examples(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                # 7 bits of weights: sums of two products with 8 saturate on processors without VNNI.
                reduce_range=True,
            )
        finally:
            root.setLevel(level)
        return serialised(onnx.load(path))

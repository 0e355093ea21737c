"""Exports torch modules as ONNX graphs; the same weights give the same bytes on any machine."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from rtmri_speech.errors import UserError

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 20, 10
"""Of the graphs; supported by every ONNX Runtime that the project allows."""


def require_onnx(subject: str | Path) -> None:
    """Refuse to write ``subject`` if a package needed for the export is not installed.

    Raises
    ------
    UserError
        Names the missing packages.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            subject, f"cannot be written without {' and '.join(missing)}", 'in the checkout, pip install -e ".[train]"'
        )


def traced(
    module: nn.Module,
    examples: tuple[torch.Tensor, ...],
    names: tuple[tuple[str, ...], tuple[str, ...]],
    what: str,
    dynamic_shapes: Any = None,
) -> bytes:
    """Export a module in evaluation mode as a graph.

    Parameters
    ----------
    module : to export.
    examples : its inputs.
    names : of inputs and outputs.
    what : name of the module, for errors.
    dynamic_shapes : free dimensions, as for `torch.export`.

    Raises
    ------
    UserError
        The export fails.
    """
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                module,
                examples,
                input_names=names[0],
                output_names=names[1],
                dynamic_shapes=dynamic_shapes,
                dynamo=True,
                external_data=False,
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().split("\n")[0][:200]
        raise UserError(
            what, f"cannot be written as an ONNX graph ({reason})", "use torch (synthesis: {engine: torch})"
        ) from None
    return serialised(program.model_proto)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's log and warnings, which are not actionable for the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def serialised(model: onnx.ModelProto) -> bytes:
    """Serialise a graph reproducibly: without stack traces, paths, versions or intermediate shapes."""
    import onnx
    from onnx import numpy_helper

    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    graph = model.graph
    tensors = [*graph.initializer]
    for number, node in enumerate(graph.node):
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
        node.name = f"{node.op_type}_{number}"
        tensors += [attribute.t for attribute in node.attribute if attribute.HasField("t")]
        for attribute in node.attribute:
            attribute.ClearField("doc_string")
    for tensor in tensors:
        # One encoding for all: raw bytes of the declared shape, no other fields.
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    for value in (*graph.input, *graph.output):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    plain = onnx.helper.make_graph(graph.node, "graph", graph.input, graph.output, graph.initializer)
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    whole = onnx.helper.make_model(plain, opset_imports=opsets, ir_version=IR_VERSION)
    for field in ("producer_name", "producer_version"):
        whole.ClearField(field)
    onnx.checker.check_model(whole)
    return whole.SerializeToString(deterministic=True)

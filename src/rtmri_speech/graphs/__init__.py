"""ONNX graphs: exported from torch modules, parsed defensively, and run without torch."""

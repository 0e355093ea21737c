"""ONNX graphs: written from torch modules, read without trust, and run without torch."""

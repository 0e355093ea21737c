"""HiFi-GAN: natural-log mel to speech; reads checkpoints of the official program and of the lab."""

VOCODER_STAGE_VERSION = 1
"""Increment it when a change of the code changes the result of a training: finished vocoders are then retrained.

Defined here because the workflow reads it without importing torch.
"""

"""HiFi-GAN: from the natural-log mel to speech, with the checkpoints of the official program and of the lab."""

VOCODER_STAGE_VERSION = 1
"""Raise it when a change of the code changes what a training yields: finished vocoders are then made again.

It stands here because the workflow reads it, and must not import torch for that.
"""

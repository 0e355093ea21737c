"""The mel generator: rtMRI frames to mel."""

ACOUSTIC_STAGE_VERSION = 1
"""Increment it when a change of the code changes the result of a training: finished models are then retrained.

Defined here because the workflow reads it without importing torch.
"""

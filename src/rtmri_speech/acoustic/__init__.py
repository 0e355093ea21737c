"""The mel generator: rtMRI frames to mel."""

ACOUSTIC_STAGE_VERSION = 1
"""Raise it when a change of the code changes what a training yields: finished models are then made again.

It stands here because the workflow reads it, and must not import torch for that.
"""

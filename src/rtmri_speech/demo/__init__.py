"""The embedded demo corpus, from an articulatory synthesiser (optional extra ``demo``)."""

BASE_SEED = 7001
"""Seed of the speech for training the demo's base vocoder; its clips are not scored."""

"""The embedded demo corpus, from an articulatory synthesiser (optional extra ``demo``)."""

BASE_SEEDS = {"training": 7001, "validation": 7002}
"""Seeds of the synthetic speech for training and validating a base vocoder; its clips are not scored otherwise."""

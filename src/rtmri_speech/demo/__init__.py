"""The embedded demo corpus, from an articulatory synthesiser (optional extra ``demo``)."""

BASE_SEED = 7001
"""Of the speech that the demo's base vocoder is trained on; clips of this seed score nothing."""

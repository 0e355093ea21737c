"""The embedded demo corpus, from an articulatory synthesiser (optional extra ``demo``)."""

"""Corpora: the public sets of rtMRI as they are distributed, and the one that a configuration names."""

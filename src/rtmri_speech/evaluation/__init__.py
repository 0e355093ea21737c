"""Scores one can cite: metrics, baselines and the sync audit."""

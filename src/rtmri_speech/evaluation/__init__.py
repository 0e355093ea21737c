"""Metrics, baselines, intelligibility and the audio-video sync audit."""

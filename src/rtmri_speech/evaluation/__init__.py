"""Metrics, baselines, intelligibility and the audio-video sync audit."""

JUDGED_CLIPS = 24
"""Maximum number of clips, evenly spaced, to score a vocoder on."""

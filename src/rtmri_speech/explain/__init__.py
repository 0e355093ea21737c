"""Grad-CAM by formant band, its pictures and films, and the masking study."""

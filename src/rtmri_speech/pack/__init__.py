"""Packs: single files with all models and settings for synthesis without torch."""

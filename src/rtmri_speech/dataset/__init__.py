"""Builds the dataset from clips: samples, split, scaler, windows and file lists."""

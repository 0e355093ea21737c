"""Shared by both trainings: the trainer, resumable state, data loading, schedules and logs."""

PROGRESS_FILE = "progress.json"
"""Name of the progress file (`logging.Progress`) in the state directory of a running training."""

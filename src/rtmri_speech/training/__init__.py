"""Shared by both trainings: the trainer, resumable state, data loading, schedules and logs."""

"""What both trainings share: atomic, resumable state and the log."""

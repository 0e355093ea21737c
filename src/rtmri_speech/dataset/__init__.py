"""From clips to samples, split, scaler, windows and file lists."""

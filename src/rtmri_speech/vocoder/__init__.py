"""HiFi-GAN: from the natural-log mel to speech, with the checkpoints of the official program and of the lab."""

"""Sound, pictures and the mel spectrogram: what every stage measures with."""

"""Audio, video and the mel spectrogram, shared by all stages."""

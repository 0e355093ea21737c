"""Speech synthesis from video with trained models, on files and live."""

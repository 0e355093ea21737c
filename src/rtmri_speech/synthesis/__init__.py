"""From video to speech: the trained mel generator and vocoder in use, on files and live."""

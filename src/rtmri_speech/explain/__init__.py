"""Which articulator makes which formant: Grad-CAM by band, its pictures and films, and the masking study."""

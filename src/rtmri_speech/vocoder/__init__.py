"""HiFi-GAN: mel to speech."""

"""The mel generator: rtMRI frames to mel."""

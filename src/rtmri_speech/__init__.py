"""Speech from real-time MRI of the vocal tract.

Importing the package costs nothing: heavy imports live in the modules that need them.
"""

__version__ = "0.1.0"

"""The results page, its figures, and the results document."""

"""The page to listen and look, its figures, and the tables that documents cite."""

"""The settings: one module for each part of the configuration, and what is made from their fields."""

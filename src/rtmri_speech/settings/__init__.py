"""The settings, one module per part of the configuration, with the schema and flags generated from their fields."""

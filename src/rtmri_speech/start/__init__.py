"""The start of a project: what a folder of recordings holds, and a configuration that runs with it."""

"""Takeover from the lab's earlier system: survey of its files, faults, and a configuration to continue with."""

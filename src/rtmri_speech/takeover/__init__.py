"""Taking over from the memo's system: what a machine holds, what fits together, and the configuration to go on with."""

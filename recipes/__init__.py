"""What a recipe means. Pure: no clock, no randomness, no I/O, nothing of ours imported."""

"""Benchmarks: figures as ratios of what ran interleaved in the same run. Results are in RESULTS.md."""

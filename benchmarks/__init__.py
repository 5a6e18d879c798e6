"""Benchmarks: Isthmus against peers and physical limits in the same run, printed as ratios."""

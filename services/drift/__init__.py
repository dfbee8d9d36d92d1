"""Drift: what a model saw and said over time, and whether that differs from a reference. Of cases in numbers only."""

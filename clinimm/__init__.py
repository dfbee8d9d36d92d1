"""Diagnosis from scans, notes and laboratory values at once, with a weight and an explanation for each."""

__version__ = "0.1.0"

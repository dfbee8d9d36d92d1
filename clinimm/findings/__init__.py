"""Findings in radiology prose: read from sentences, and written as prompts."""

"""Samples of results to audit: drawn by a stated plan, so that what is found in them tells of all."""

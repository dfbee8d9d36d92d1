"""Bundles: all that is on record of one case, in a zip that proves itself with no service at hand."""

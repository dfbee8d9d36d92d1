"""Towers of image-text backbones: nets that turn pixels or word pieces into tokens and a point in a shared space."""

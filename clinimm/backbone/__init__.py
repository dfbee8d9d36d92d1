"""Image-text backbones: kept on disk, imported from other families, run on pictures and texts."""

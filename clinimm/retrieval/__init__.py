"""Search and prompts over a backbone or a trained model: an index, its neighbors, zero-shot scores."""

"""Results: what was answered, immutable, each with the words it can be found by."""

"""Is this input what the model was trained on? Scores per input, thresholds from valid ones, verdicts with reasons."""

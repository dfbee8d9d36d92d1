"""Similar cases: where each answered case lies in its model's space, and which others lie near."""

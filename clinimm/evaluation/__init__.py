"""A trained model judged: every subset of its inputs, and honest opponents on the same cases."""

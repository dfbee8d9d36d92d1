"""What was found in an input, kept on disk, so that a late input costs no second look at those that came before."""

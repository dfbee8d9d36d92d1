"""Is an explanation to be trusted? Tests of it against the model itself; each gives a `Check`.
u units, r rows, o orders, k targets."""

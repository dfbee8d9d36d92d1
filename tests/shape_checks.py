"""What checks types and shapes in the test run: beartype, for which an int is a float as it is for Python."""

from beartype import BeartypeConf, beartype

typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True))

"""One patient: whose each input says it is, and where two inputs contradict each other."""

from clinimm.identity.mismatch import Mismatch, key, mismatches
from clinimm.identity.person import Identity, Sex, read_sex

__all__ = ["Identity", "Mismatch", "Sex", "key", "mismatches", "read_sex"]

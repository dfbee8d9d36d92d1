"""One patient: whose each input says it is, where two inputs contradict each other, and what a note lets suspect."""

from clinimm.identity.contradiction import contradictions
from clinimm.identity.header import of_note
from clinimm.identity.mismatch import Mismatch, key, mismatches
from clinimm.identity.person import Identity, Sex, read_sex

__all__ = ["Identity", "Mismatch", "Sex", "contradictions", "key", "mismatches", "of_note", "read_sex"]

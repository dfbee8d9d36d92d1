"""What a fault is called at each door."""

from dataclasses import dataclass
from typing import Literal

Acknowledgment = Literal["AA", "AE", "AR"]


@dataclass(frozen=True)
class Fault:
    """`dicom` is the failure reason of C-STORE and STOW-RS (PS3.4 table B.2-1, PS3.7 annex C, PS3.18 table I.2-2), 0
    where the instance is stored all the same; `fhir` is of OperationOutcome.issue.code, whose binding is required;
    `hl7` is MSA-1: AE for what is wrong with the content, AR for what is not, so that the sender may try again."""

    status: int
    dicom: int
    fhir: str
    hl7: Acknowledgment
    said: str


OUT_OF_RESOURCES, DOES_NOT_MATCH, CANNOT_UNDERSTAND = 0xA700, 0xA900, 0xC000
PROCESSING_FAILURE, NO_SUCH_CLASS, NO_SUCH_SYNTAX = 0x0110, 0x0122, 0xC122
DUPLICATE_INSTANCE, NO_SUCH_INSTANCE, NOT_AUTHORIZED, NO_SUCH_OPERATION = 0x0111, 0x0112, 0x0124, 0x0211


def alike(status: int, dicom: int, fhir: str, hl7: Acknowledgment, **said: str) -> dict[str, Fault]:
    """Faults, by their codes, that differ in no more than their sentence."""
    return {code: Fault(status, dicom, fhir, hl7, sentence) for code, sentence in said.items()}

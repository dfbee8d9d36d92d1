"""Randomness by name: every part of every case has a stream of its own, so that changing one part moves no other."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a random stream is for. The numbers are part of what a seed means: never renumber."""

    PATIENT = 0
    SIGNAL = 1
    TIMES = 2
    MISSING = 3
    ANATOMY = 4
    IMAGE = 5
    DEVICE = 6
    NOTE = 7
    LABS = 8


def generator(seed: int, stream: Stream, patient: int, visit: int = 0) -> np.random.Generator:
    """The generator of one part of one visit, whatever the size of the cohort."""
    return np.random.default_rng([seed, int(stream), patient, visit])

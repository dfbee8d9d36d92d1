"""Every word that the service refuses or doubts an input by, and what it is called at each door: one table for all.

A code that stands in a problem is answered with its `status`; one that is told of a part, within an answer of 2xx, has
the status that the part would get if it were all there was."""

from collections.abc import Mapping

from services.faults.fault import Fault
from services.faults.parts import PARTS
from services.faults.requests import PLACES, REQUESTS

FAULTS: Mapping[str, Fault] = {**REQUESTS, **PLACES, **PARTS}

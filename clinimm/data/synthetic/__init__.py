"""Cohorts with planted truth: real files, and for every case a record of which input carries the label's signal."""

from clinimm.data.synthetic.cohort import write_cohort
from clinimm.data.synthetic.missingness import Missing
from clinimm.data.synthetic.plan import Mechanism

__all__ = ["Mechanism", "Missing", "write_cohort"]

"""Cohorts with planted truth: real files, and for every case a record of which input carries the label's signal."""

from clinimm.data.synthetic.cohort import write_cohort
from clinimm.data.synthetic.evidence import CaseEvidence, Planted, read_evidence
from clinimm.data.synthetic.missingness import Missing
from clinimm.data.synthetic.plan import Mechanism
from clinimm.data.synthetic.region import Ellipse

__all__ = ["CaseEvidence", "Ellipse", "Mechanism", "Missing", "Planted", "read_evidence", "write_cohort"]

"""The settings of what is answered, what is flagged and what is abstained from."""

from typing import Literal

from pydantic import Field

from clinimm.config.inputs import Section


class Decision(Section):
    """`alpha` is the share of cases whose conformal set may miss the truth. A case whose inputs disagree as only a
    share `conflict_flag` of cases do is flagged, `conflict_abstain` abstained from. Where `outlier_abstains`, `all` or
    `any` of the used inputs are flagged as odd and odder than `outlier_percentile` of valid ones, there is no answer.
    Without the `required` inputs there is none. A target is abstained from where nothing calibrates it
    (`abstain_uncalibrated`), where its conformal set is not one answer (`abstain_undecided`), or where the interval of
    its probability is wider than `widest_interval`; all are where the gate doubts every input of the case
    (`abstain_doubted`)."""

    alpha: float = Field(0.1, gt=0, lt=0.5)
    conflict_flag: float = Field(0.02, ge=0, le=1)
    conflict_abstain: float = Field(0.005, ge=0, le=1)
    outlier_abstains: Literal["all", "any", "never"] = "all"
    outlier_percentile: float = Field(100, ge=0, le=100)
    required: tuple[str, ...] = ()
    abstain_uncalibrated: bool = True
    abstain_undecided: bool = False
    abstain_doubted: bool = True
    widest_interval: float | None = Field(None, gt=0, le=1)

import pytest

from clinimm.attribution.checks import agreement, completeness, efficiency


@pytest.mark.parametrize(
    ("total", "change", "passes"),
    [
        (10.0, 10.09, True),  # within 1 % of the change
        (10.0, 10.2, False),
        (0.0, 0.0009, True),  # within 1e-3 logits, though 100 % of the change
        (0.0, 0.0011, False),
        (-10.0, -10.09, True),
        (float("nan"), 1.0, False),
    ],
)
def test_completeness_passes_within_one_percent_or_a_thousandth_of_a_logit(total, change, passes):
    assert completeness(total, change, 0.01).passed is passes


def test_efficiency_is_the_distance_in_logits():
    check = efficiency(1.5, logit=1.0, prior=-1.0)
    assert check.value == pytest.approx(0.5)
    assert not check.passed
    assert efficiency(2.0, logit=1.0, prior=-1.0).passed


def test_agreement_is_between_what_is_explained_and_what_was_served():
    assert agreement(1.0, 1.0004).passed
    assert not agreement(1.0, 1.01).passed

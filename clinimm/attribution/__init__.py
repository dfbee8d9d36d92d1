"""Why a target of a case got its logit: one joint path through all inputs, exact Shapley values, and checks of both."""

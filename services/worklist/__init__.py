"""The worklist: which cases there are, found by what their answers, reports and reviews say. Reads; changes nothing."""

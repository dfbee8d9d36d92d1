"""Drift: whether a second cohort looks to a model like the first, before any label of it is known.

statistics.py  numbers that say how two samples differ, and how likely that is by luck
apart.py       whether a regression tells the points of one sample from another's
snapshot.py    all that a model sees and says of a cohort, as columns
shift.py       `drift`: two snapshots compared, column by column, with one false-discovery rate over all"""

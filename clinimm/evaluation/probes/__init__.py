"""Probes of what a score is made of: what shortcuts alone can tell, and how a model answers when they are taken away.

shortcuts.py  learners that see the gaps, the border of the picture, its size or the site, and nothing else
changes.py    batches with one thing changed: a frame covered, an analyte hidden, another case's gaps
ask.py        `probe`: one model and its test cases, through both; parts of several folds can be joined
findings.py   `findings`: numbers with their intervals, each in a sentence"""

"""A judgement as one self-contained page: no script, no request, nothing to load.

verdict.py  questions a researcher would ask, answered in words
tables.py   everything measured, as tables
plots.py    the curves, as SVG pictures; the one place that knows matplotlib
html.py     `page`: all of it together"""

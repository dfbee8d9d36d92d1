"""Reports: why it was answered so. The record, and the page drawn from it."""

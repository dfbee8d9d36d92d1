"""Whether what is stored is what the events say was stored: every row, every file, every case's content.

Most rows are bound by seals in the events that stored them (`services.audit.seals`). Answers in short are made again
from their results, the pgvector copy of embeddings is compared with these; the states of jobs are those that events
brought them to.

Not covered is working state, which changes as work goes on and proves nothing: `WORKING`, the queue's own tables, the
locks of keys in flight, that the file of an instance is marked lost. Nor are rows that earlier versions wrote, whose
events name them and bind some of their hashes, or nothing: these are counted."""

WORKING = {
    "due": "*",  # cases that wait until they are quiet
    "workers": "*",  # their signs of life
    "jobs": "attempts",
}
"""Tables that are working state, all or one column."""

"""Whether what is stored is what the events say was stored: every row, every file, every case's content.

Not covered, since nothing that is evidence hangs on them: jobs, due cases, workers, the queue's own tables, answers
kept for repeated Idempotency-Keys, the pgvector copy of embeddings; of an instance, that its file is marked lost. Nor
are rows that earlier versions wrote, whose events name them and bind some of their hashes: these are counted."""

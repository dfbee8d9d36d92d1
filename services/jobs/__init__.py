"""Durable work: owed from the moment its transaction commits, begun at least once, its effect had exactly once.

DBOS keeps the queue in the same database as the cases; only this room knows DBOS."""

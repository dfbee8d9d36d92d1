"""Findings in text: what a report or note asserts, denies or leaves open; sentences; prompts. No nets."""

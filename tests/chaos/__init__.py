"""The service under SIGKILL: clients that post and repeat, processes that die at any moment, and what must be true
after it all. `python -m chaos --kills 1000` from a shell; `chaos.trial.run` from a test."""

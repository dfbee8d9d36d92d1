"""The model that answers, as the API knows it: from the artifact's JSON, without loading a net."""

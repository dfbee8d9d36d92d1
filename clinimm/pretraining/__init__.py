"""The image-text backbone learned from pictures and texts alone: objectives, masked modeling, corpus and run."""

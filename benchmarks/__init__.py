"""Side by side with the naive ways: what the design claims, measured in one run."""

"""Read-only checks of lakes and sources: status, verify, inspect, dry run."""

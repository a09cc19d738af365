"""What scripts/bench runs: contestants that share one list of items, the places they run on, and the table."""

"""Real processes killed before and after every filesystem call, and an error from each: `points` runs it."""

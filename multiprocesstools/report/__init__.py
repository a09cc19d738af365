"""What a run looks like: a snapshot, a sweep, as text for people and as JSON for programs."""

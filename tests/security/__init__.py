"""Hostile writers: somebody else may write into the directories of a run. What they can do, and what they cannot."""

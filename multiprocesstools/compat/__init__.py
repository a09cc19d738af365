"""Doors by the names of other systems, so that their scripts run with their import lines changed."""

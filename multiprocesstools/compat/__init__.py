"""The original names of other systems, thin: each room has the names of one, and hands everything on."""

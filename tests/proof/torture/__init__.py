"""Sixteen real processes, killed, stopped, terminated and starved of disk at random: `rounds` runs it."""

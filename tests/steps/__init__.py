"""Tests of steps with prerequisites."""

"""Tests of task stores over a grid."""

"""Modules that decide which frames and tokens matter."""

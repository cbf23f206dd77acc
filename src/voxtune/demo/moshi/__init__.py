"""Moshi learns to be a station desk."""

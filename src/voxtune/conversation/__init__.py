"""Dialogues that a model goes on with: what is given, how it goes on, what is written."""

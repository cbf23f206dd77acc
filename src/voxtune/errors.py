"""The one kind of error that a user sees: a sentence that says what is wrong, where, and what to do."""

from __future__ import annotations


class VoxtuneError(Exception):
    """Bad input, a bad recipe or a bad checkpoint. The message is shown as it is, without a traceback."""


class RecipeError(VoxtuneError):
    """A recipe key is unknown, missing or has a value that cannot be used."""


class DataError(VoxtuneError):
    """A data file, or what it points to, cannot be used. The message names file, line and field."""


class CheckpointError(VoxtuneError):
    """A checkpoint is incomplete, damaged, or does not fit the model."""

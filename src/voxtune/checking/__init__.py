"""Diagnosis of data before a run: what is wrong by file, line and field, and what a run will cost."""

from voxtune.checking.check import check, check_files, check_recipe, split_bad
from voxtune.checking.report import Finding, Report

__all__ = ["Finding", "Report", "check", "check_files", "check_recipe", "split_bad"]

"""Checking a data set: every file is read once, and all that is wrong or odd is told in one table."""

from segmodels.data.verify.report import Report, kept_report
from segmodels.data.verify.verify import verify

__all__ = ["Report", "kept_report", "verify"]

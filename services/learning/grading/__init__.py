"""Grading a thumbnail before it is used: what the models say of it, and how sure that is."""

from services.learning.grading.grade import Graded, Grading, Reference, grade

__all__ = ["Graded", "Grading", "Reference", "grade"]

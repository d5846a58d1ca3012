"""Grading a thumbnail before it is used: what the models say of it, and how sure that is."""

from services.learning.grading.grade import Graded, Grades, Grading, Reference, grade

__all__ = ["Graded", "Grades", "Grading", "Reference", "grade"]

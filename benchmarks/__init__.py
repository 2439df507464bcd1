"""Figures that the README states, and how they were measured."""

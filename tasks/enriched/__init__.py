"""Recipes, and the tables that they fill."""

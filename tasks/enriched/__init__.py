"""Recipes, and the enriched tables that hold their answers."""

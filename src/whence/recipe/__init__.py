"""Recipes: a YAML file that says how to run a training and what to expect.

    recipe = read_recipe("recipes/alignment/scenes.yaml", ["--train.lr", "0.001"])

Unknown keys are refused.
"""

from whence.recipe.parts import Data, FrontEnd, Labels, Neighbourhood, Recipe, Select, Train, Views
from whence.recipe.reading import find_recipe, known_keys, read_recipe

__all__ = [
    "Data",
    "FrontEnd",
    "Labels",
    "Neighbourhood",
    "Recipe",
    "Select",
    "Train",
    "Views",
    "find_recipe",
    "known_keys",
    "read_recipe",
]

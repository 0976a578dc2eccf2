"""The gateway to a language model and what it is made of; imports neither Prefect nor pandas."""

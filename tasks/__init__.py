"""The work: thin Prefect tasks over plain functions and classes that know nothing of Prefect."""

"""HTTP: politely, within bounds, never into private networks."""

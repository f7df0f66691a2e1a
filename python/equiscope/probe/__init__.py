"""Drives a model over the orbits of its inputs and listens to its modules. Knows no metric."""

"""Publishes layers: desired state, observed state, the plan between them, and its steps."""

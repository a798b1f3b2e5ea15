"""Starts layers in the Lambda runtime and watches what they do."""

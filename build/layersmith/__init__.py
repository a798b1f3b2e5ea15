"""Build, check, prove and ship AWS Lambda layers for ARM64 from one declarative file."""

__version__ = "0.1.0"

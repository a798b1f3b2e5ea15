"""Brings the CloudFormation stacks of a stage up, changes them, and takes them down."""

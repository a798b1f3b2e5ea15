"""Deploys CloudFormation stacks and runs sessions on them."""

"""Decisions: facts in, decision out. Nothing here knows boto3, a clock or a network."""

"""Adapters, one a resource: they read AWS into facts and carry decisions out. They never decide."""

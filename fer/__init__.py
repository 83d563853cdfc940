"""Modules beside the eight at the top level; the import order stands in tests/test_architecture.py."""

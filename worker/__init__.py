"""Waits: one workflow per request."""

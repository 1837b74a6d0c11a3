"""Tells others what was committed."""

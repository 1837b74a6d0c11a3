"""Idempotent verbs: what a workflow may do to the world, each safe to do again."""

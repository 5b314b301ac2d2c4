"""Webhooks: one file each, from a believed delivery to events."""

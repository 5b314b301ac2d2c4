"""Reactions that ship: what happens of itself when an event comes."""

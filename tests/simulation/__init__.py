"""Simulates the whole system in one Python process: real workers and gateway, virtual time, faults drawn by a seed."""

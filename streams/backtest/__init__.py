"""Runs recorded runs again with a changed agent, prompt or model, and says what the change does before it ships."""

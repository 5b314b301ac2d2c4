"""The worker's process: hosts runs, events, tables, reactions and schedules on the runtime; see docs/explanation/."""

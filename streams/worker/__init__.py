"""The worker's process: hosts runs, events, tables, reactions and schedules on the runtime (README, 'How it works')."""

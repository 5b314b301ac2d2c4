"""SQL over the topics: one statement, in a process of its own, bounded in time, memory, bytes read and rows."""

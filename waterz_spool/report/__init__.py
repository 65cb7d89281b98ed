"""What people read: tables, one-line summaries, explanations."""

"""Images on their way: source, inspect, convert, verify, target. Never on disk, never whole in memory."""

"""What removed captions say: read while they are still there, kept beside the result."""

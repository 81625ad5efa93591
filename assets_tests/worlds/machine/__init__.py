"""What a machine brings: processes, servers, databases, runs."""

"""What is agreed before an experiment begins: the protocol, its file and draft, and the guidelines' items."""

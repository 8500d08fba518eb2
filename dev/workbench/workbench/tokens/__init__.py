"""What a conversation costs in tokens: with skills and a command, and with every tool in each request."""

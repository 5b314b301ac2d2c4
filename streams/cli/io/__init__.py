"""What every command reads and writes through: the client of the gateway, common options, and output."""

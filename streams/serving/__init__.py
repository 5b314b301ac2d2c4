"""HTTP serving that the gateway and the workers share: bounded connections, and which hosts and origins may ask."""

"""The HTTP contract: a pydantic model for each JSON answer of the gateway, one module a resource."""

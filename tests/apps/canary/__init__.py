"""An agent that carries a secret everywhere it can."""

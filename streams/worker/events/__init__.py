"""Events on this worker: each record of the bus goes once into the tables that fold it and to its reactions."""

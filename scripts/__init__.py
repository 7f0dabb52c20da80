"""What the shell scripts beside do in Python: make the environment, start the database, keep watch. No product."""

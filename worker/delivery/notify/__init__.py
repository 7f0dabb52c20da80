"""Ways to a person: one file a channel. When a message is sent, and what a failure costs, is not known here."""

"""The top list: who asks for prices and for ranks, how often their plans allow it, and who makes one list of both."""

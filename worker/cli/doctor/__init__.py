"""The command `doctor`: looks at everything that the settings name, changes nothing, and says what to do."""

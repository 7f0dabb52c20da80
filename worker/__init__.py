"""Everything that moves: asks the sources, feeds the newest version, plays recordings. Of no version itself."""

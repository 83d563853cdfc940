"""Claims become the sentences a reader needs: at most twelve, however many runs a study has."""

"""Energy-based, discrete-time learned physics with an exact discrete energy law."""

"""Pictures: what they are, and smaller ones of them, made in processes of their own."""

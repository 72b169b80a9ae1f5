"""End-to-end encryption: what a server carries for devices, and (`client/`) what devices do."""

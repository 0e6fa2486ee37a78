"""The index on disk: its files and how they are opened, shared by who writes them and who asks them. Without torch."""

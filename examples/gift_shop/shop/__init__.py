"""The gift shop: products drawn with Pillow, hidden attributes, persona queries and simulated shoppers."""

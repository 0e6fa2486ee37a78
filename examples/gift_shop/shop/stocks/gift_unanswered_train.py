"""Wishes to learn from that nothing in the gift shop answers; none of these things is in `gift_unanswered.py`."""

from __future__ import annotations

# What people do who will not find anything here; they get openers and persons like the training queries.
PASTIMES = (
    "sails a catamaran every summer", "collects stamps from the colonies", "keeps bees on the roof", "rides a racing bike",
    "plays chess in a league", "restores old clocks", "dives for wrecks", "flies model aeroplanes", "goes ice skating",
    "is learning to crochet lampshades out of glass", "brews wine in the cellar", "plays darts in the pub",
    "is into horse racing", "repairs radios and televisions", "fishes for carp at night", "plays the lottery",
    "paints miniatures of tanks", "hunts deer in the autumn", "does archery", "shoots clay pigeons",
    "never leaves the house without make-up", "collects diamonds and brooches", "drives a taxi all night",
    "is training to be a dentist", "breeds canaries and parrots", "keeps a python in a terrarium",
    "rents out holiday flats", "is building a house of timber", "renovates bathrooms", "plays table tennis and badminton",
    "is a goalkeeper in a handball team", "boxes in a club", "goes bowling on Thursdays", "dances tango in high heels",
    "smokes cigars", "collects model cars", "programs robots", "mines bitcoin", "is a magician at weddings",
    "wears a suit and cufflinks every day",
)  # fmt: skip

# What people type who know what they want.
THINGS = (
    "a sewing machine", "hydraulic car jack", "petrol lawn mower", "an exhaust for a moped", "snow chains", "a child seat for the car",
    "licence plate holder", "a caravan awning", "power drill bits", "a ladder of aluminium", "chainsaw for firewood",
    "paint for the outside walls, twenty litres", "laminate flooring, oak", "wallpaper with stripes", "a shower head",
    "kitchen sink of stainless steel", "door handles in brass", "a radiator thermostat", "led strip, five metres",
    "extension cable", "a dishwasher, silver", "microwave oven for a canteen", "an ironing board", "steam iron", "tumble dryer",
    "a set of steak knives", "wine glasses for twelve", "a mattress, 140 by 200", "bunk beds", "a wardrobe with mirrors",
    "dining table for eight", "curtains for a large window", "a persian rug", "a chandelier of crystal", "wall clock",
    "aftershave", "shampoo against dandruff", "nail polish, pink", "sun cream, factor 50", "a razor with five blades",
    "plasters and bandages", "vitamin D drops", "cough syrup", "a wheelchair for my mother", "walking frame", "condoms",
    "mascara", "a necklace with a sapphire", "a bracelet for a christening", "sunglasses for driving", "a belt, brown leather",
    "a bikini", "sandals in size 39", "a raincoat for cycling", "wool suit, slim fit", "white shirt without ironing",
    "ski goggles", "a bridal veil", "school uniform", "a graphics card", "usb sticks", "a keyboard for a left-hander",
    "a tablet for drawing", "printer paper", "ring binders", "a fountain pen for the notary", "envelopes", "a desk of glass",
    "a projector for meetings", "a television with a large screen", "a satellite dish", "batteries, AA", "a burglar alarm",
    "a baby monitor", "nappies", "a pram with big wheels", "a box of fresh vegetables", "smoked salmon for Christmas",
    "olive oil from Crete", "a bottle of whisky", "birthday cake for thirty guests", "cat litter", "bird cage", "a fish tank",
    "flea collar for a cat", "horse blanket", "trombone mouthpiece", "sheet music for cello", "a grand piano", "an accordion",
    "a trampoline", "table football", "a roulette wheel", "a kayak", "ice hockey stick", "fishing rod", "a bow and arrows",
    "cricket bat", "a rowing machine", "binoculars for birdwatching on the coast", "a globe", "a chess computer", "poker chips",
    "train ticket to Vienna", "hotel for one night at the airport", "concert tickets, third row", "a massage", "cleaning twice a week",
    "a plumber for Saturday", "a mortgage", "passport photos", "a lawyer for my divorce", "a course in first aid",
    "a gym membership", "car hire for a week", "magazine for hunters", "flowers by post to Hamburg", "a tattoo",
)  # fmt: skip

"""Descriptions and tags: they hint at who would love a product, in words of their own."""

from __future__ import annotations

import numpy as np

from shop.render import Product

_HINTS: dict[str, tuple[str, str]] = {
    "watering can": ("Keeps beds and pots happy through dry weeks.", "A trusty helper for green thumbs."),
    "trowel": ("Sits well in the palm when borders need replanting.", "For anyone happiest kneeling in a border."),
    "plant pot": ("A home for herbs, succulents and seedlings.", "Brings some greenery to sills and terraces."),
    "rubber boots": ("For muddy vegetable plots and puddles.", "Dry toes in wet grass, whatever the sky does."),
    "birdhouse": ("Invites tits and wrens to nest among the trees.", "Brings birdsong to the end of the lawn."),
    "dog bowl": ("For four-legged companions with a big appetite.", "Dinner time for man's best friend."),
    "kennel": ("A dry den for a faithful hound.", "Every good boy deserves a house."),
    "frying pan": ("Eggs, pancakes and steaks turn out golden.", "For those at home by the stove."),
    "cooking pot": ("Soups and stews for a full table.", "Big enough for chili for eight."),
    "apron": ("Keeps flour and sauce off good clothes.", "Dress code for people with a whisk in hand."),
    "teapot": ("Pours without a drip, for long afternoons and scones.", "For leaves that deserve time to steep."),
    "mug": ("A generous cup for hot drinks.", "The first sip of the day tastes better from it."),
    "moka pot": ("Strong, dark and bubbling in three minutes.", "Italian mornings on any hob."),
    "guitar": ("Six strings for songs around the table.", "Ready for first chords and last encores."),
    "drum": ("Keeps the beat, and wakes the house.", "For restless hands with rhythm in them."),
    "headphones": ("Albums as they were meant to be heard.", "Rich sound for playlists and matches alike."),
    "game controller": ("Fast triggers for the final boss.", "For couch tournaments that last all weekend."),
    "handheld game console": ("Levels and lives in a pocket.", "Retro fun for long waits."),
    "book": ("Three hundred pages to get lost in.", "A tale to be finished in one go."),
    "desk lamp": ("A clear light for the small print of thick volumes.", "Keeps the page bright after sunset."),
    "armchair": ("Sink in and forget the hour.", "Deep, soft and made for long chapters."),
    "candle": ("A little flame makes the evening gentle.", "For baths, dinners and storms outside."),
    "cushion": ("Something soft to lean on.", "Makes any bench a place to stay."),
    "lantern": ("Light for the path and for the tent.", "Glows through wild nights outside."),
    "tent": ("A roof between pines and stars.", "Up in minutes, dry till dawn."),
    "backpack": ("Carries water, map and bread up any trail.", "Room for a week on the road."),
    "suitcase": ("Rolls through stations and lobbies.", "Packed for the next departure."),
    "camera": ("Catches the moment before it is gone.", "Sharp glass for faces and far places."),
    "kite": ("Climbs on the first autumn wind.", "Laughter on a meadow, on a string."),
    "dumbbell": ("Builds arms one set at a time.", "For strength at home."),
    "yoga mat": ("Holds still in every pose.", "A small island to breathe and bend on."),
    "sneaker": ("Light on the track, kind to the knees.", "Made for the extra mile."),
    "teddy bear": ("A first friend for small arms.", "Listens to every secret at bedtime."),
    "toy train": ("Choo-choo across the nursery floor.", "Small engineers will not put it down."),
    "paint palette": ("Mix, dab and start again.", "For easels, sunsets and patience."),
    "ball of yarn": ("Turns into hats, socks and presents.", "Soft wool for busy needles."),
}  # fmt: skip
_FINISHES = {
    "matte": ("Plain lines, no ornament.", "A quiet, even surface."),
    "glossy": ("A mirror-bright, up-to-date look.", "Catches every light in the room."),
    "hand-painted": ("Decorated by brush, no two alike.", "Village-fair charm in every dot and petal."),
}


def describe(product: Product, rng: np.random.Generator) -> dict[str, object]:
    """`description` and `tags` of a product."""
    hint = _HINTS[product.kind][int(rng.integers(2))]
    look = _FINISHES[product.finish][int(rng.integers(2))]
    return {"description": f"{hint} {look}", "tags": [product.kind, product.colour, product.finish]}

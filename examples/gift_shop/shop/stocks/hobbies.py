"""The hobby shop: other products, other people, other words. No setting of vdistill was chosen by its figures."""

from __future__ import annotations

from shop.stocks import Stock, hobby_phrases_heldout, hobby_phrases_train

# Kind → interests it serves, in [0, 1].
_INTERESTS_OF: dict[str, dict[str, float]] = {
    "bicycle": {"cycling": 1.0},
    "bicycle helmet": {"cycling": 0.9},
    "beach ball": {"water": 0.85},
    "diving mask": {"water": 1.0},
    "tennis racket": {"racket sports": 1.0},
    "ice skate": {"winter sports": 1.0},
    "sledge": {"winter sports": 0.9},
    "model sailing boat": {"sailing": 1.0, "water": 0.4},
    "fishing rod": {"fishing": 1.0},
    "rolling pin": {"baking": 1.0},
    "cake stand": {"baking": 0.9, "elegance": 0.4},
    "telescope": {"astronomy": 1.0, "sailing": 0.5},
    "globe": {"geography": 1.0, "astronomy": 0.5},
    "hammer": {"do-it-yourself": 1.0},
    "toolbox": {"do-it-yourself": 0.95, "cycling": 0.4},
    "pair of dice": {"board games": 0.9},
    "chess pawn": {"board games": 1.0},
    "sewing machine": {"sewing": 1.0},
    "spool of thread": {"sewing": 0.9},
    "wine glass": {"wine": 1.0},
    "typewriter": {"writing": 1.0},
    "fountain pen": {"writing": 0.95, "elegance": 0.4},
    "handbag": {"elegance": 0.95},
    "umbrella": {"elegance": 0.6},
    "perfume bottle": {"elegance": 1.0},
    "alarm clock": {"punctuality": 1.0},
    "bow tie": {"elegance": 0.9},
}

_BASE_PRICE: dict[str, float] = {
    "bicycle": 310, "bicycle helmet": 46, "beach ball": 7, "diving mask": 27, "model sailing boat": 58,
    "fishing rod": 64, "ice skate": 79, "sledge": 52, "tennis racket": 88, "rolling pin": 14, "cake stand": 24,
    "telescope": 180, "globe": 42, "hammer": 16, "toolbox": 37, "pair of dice": 5, "chess pawn": 9,
    "sewing machine": 210, "spool of thread": 4, "wine glass": 11, "typewriter": 130, "fountain pen": 33,
    "handbag": 95, "umbrella": 22, "perfume bottle": 69, "bow tie": 18, "alarm clock": 19,
}  # fmt: skip

_HINTS: dict[str, tuple[str, str]] = {
    "bicycle": ("Twenty-one gears for hills and headwinds.", "Leaves the traffic jam behind."),
    "bicycle helmet": ("A cool head on long rides.", "Weighs little, takes a knock."),
    "beach ball": ("Blown up in a minute, up in the air all day.", "Made for sand and shallow waves."),
    "diving mask": ("A clear view of the reef.", "Seals well, even when laughing."),
    "model sailing boat": ("Leans into the breeze on any pond.", "A little captain's pride."),
    "fishing rod": ("Bends, never breaks, brings supper home.", "Patience not included."),
    "ice skate": ("Sharp edges for smooth rinks.", "Warm feet on a frozen lake."),
    "sledge": ("Two can race down the white hill.", "Winter holidays are saved."),
    "tennis racket": ("Power for the serve, feel for the net.", "Match point is a matter of strings."),
    "rolling pin": ("Dough gives way, flour flies.", "Pastry as thin as paper."),
    "cake stand": ("Lifts the sponge where all can see it.", "Icing deserves a stage."),
    "telescope": ("Brings craters and rings up close.", "For clear nights on the balcony."),
    "globe": ("Spin it and point: that is the next lesson.", "All the oceans on a desk."),
    "hammer": ("Drives the nail in three strokes.", "Sits well in a busy hand."),
    "toolbox": ("A place for each screw and spanner.", "Whatever breaks, it is in here."),
    "pair of dice": ("Luck in the palm of the hand.", "Roll a double and go again."),
    "chess pawn": ("Small, patient, and one day a queen.", "Every great match begins with it."),
    "sewing machine": ("Straight seams through denim and silk.", "From pattern to dress in a weekend."),
    "spool of thread": ("Enough for a hundred buttons.", "Holds hems for years."),
    "wine glass": ("Lets a good vintage breathe.", "A thin rim for old grapes."),
    "typewriter": ("Each letter lands with a click.", "The great novel starts here."),
    "fountain pen": ("Ink flows, signatures shine.", "For letters worth keeping."),
    "handbag": ("Goes from office to opera.", "Room for all that matters."),
    "umbrella": ("Opens with a flourish, storm or no storm.", "Rain has never looked better."),
    "perfume bottle": ("A scent that stays in the room.", "Jasmine, amber, a hint of pepper."),
    "bow tie": ("The last touch to an evening suit.", "Tied once, admired all night."),
    "alarm clock": ("Loud enough for deep sleepers.", "The morning starts on time."),
}

HOBBIES = Stock(_INTERESTS_OF, _BASE_PRICE, _HINTS, hobby_phrases_train, hobby_phrases_heldout)

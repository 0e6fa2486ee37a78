"""What held-out queries say: other persons, other openers, other words for the same wishes."""

from __future__ import annotations

OPENERS = (
    "what would delight {who}? They {what}",
    "surprise wanted, {who}, they {what}",
    "need an idea: {who}, they {what}",
    "anniversary soon, {who}, they {what}",
    "show me presents suiting {who}, they {what}",
    "I owe {who} a favour, they {what}",
)

PERSONS = (
    "my mum", "a firefighter", "my former teacher", "the couple upstairs", "our landlady", "my niece", "a surgeon",
    "my oldest pal", "the caretaker", "a Scottish penfriend", "my stepbrother", "our new neighbours", "my fiancé",
    "the mayor", "a newly-wed cousin of mine", "my grandma",
)  # fmt: skip

INTERESTS: dict[str, tuple[str, ...]] = {
    "gardening": (
        "potter about the garden among shrubs and lilies", "raise vegetable seedlings on each windowsill",
        "prune hedges and grow flowers as a hobby", "own a greenhouse full of plants", "enjoy garden work all spring",
    ),
    "pets": (
        "adore their poodle", "got a golden retriever puppy last week", "look after two stray dogs",
        "stroll through parks with a beagle on a lead", "are crazy about animals, dogs above all",
    ),
    "cooking": (
        "simmer soups and stews for hours", "have a kitchen worthy of a restaurant", "roast, grill and season like a chef",
        "cook fancy meals for guests", "learn to cook at last",
    ),
    "tea": (
        "sip green tea all afternoon", "are picky about cappuccino", "need two strong coffees to wake up",
        "enjoy hot tea with biscuits", "run on coffee from morning to night",
    ),
    "music": (
        "strum melodies at home", "perform with a small orchestra", "hum tunes nonstop", "listen to albums from start to finish",
        "learn an instrument", "are mad about music",
    ),
    "gaming": (
        "fight dragons in computer games", "compete in esports tournaments", "own every Nintendo classic",
        "finish adventure video games in one sitting", "love gaming on the sofa",
    ),
    "reading": (
        "read whole libraries", "read a crime thriller per night", "write reviews of novels", "browse antiquarian bookshops",
        "are real bookworms",
    ),
    "cosiness": (
        "curl up at home most nights", "want their lounge warmer and softer", "make their home snug with candles",
        "decorate the house for comfort", "long for a cosy sitting room",
    ),
    "camping": (
        "trek across wild valleys", "camp by rivers far from town", "sleep in huts and hike up mountains",
        "hike and camp each Friday", "go camping with the kids",
    ),
    "travel": (
        "board planes weekly", "tour Asia this spring", "travel with hand luggage alone", "travel to foreign cities",
        "leave for a long voyage",
    ),
    "photography": (
        "snap street scenes with old lenses", "photograph landscapes at dawn", "exhibit portrait photos in galleries",
        "always carry two cameras", "learn photography",
    ),
    "fitness": (
        "jog at sunrise", "do squats and push-ups daily", "practise yoga poses", "joined a fitness club", "work out like athletes",
    ),
    "children": (
        "became parents of a toddler", "have twins turning two", "look after small children all day", "play with toys in the nursery",
        "have small kids who love to play",
    ),
    "crafts": (
        "stitch pullovers in winter", "paint canvases with oils", "do needlework and knitting", "draw and dab with brushes",
        "enjoy handicrafts and painting",
    ),
}  # fmt: skip

TASTES: dict[str, tuple[tuple[str, float], ...]] = {
    "plain": (("keep it unadorned", 0.6), ("less is more", 0.6), ("with modest, calm lines", 0.5)),
    "showy": (("polished and dazzling", 0.6), ("they fancy gleaming surfaces", 0.7), ("make it look futuristic", 0.5)),
    "rustic": (("with a cottage charm", 0.6), ("artisan-made in spirit", 0.7), ("covered in little ornaments", 0.6)),
}

COLOURS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("crimson or scarlet", ("red",), 0.7), ("red, bright red", ("red",), 0.6), ("orange through and through", ("orange",), 0.6),
    ("orange tones", ("orange",), 0.5), ("lemon yellow", ("yellow",), 0.7), ("a golden yellow", ("yellow",), 0.5),
    ("emerald green", ("green",), 0.7), ("a green shade", ("green",), 0.6), ("navy blue", ("blue",), 0.7),
    ("blue shades", ("blue",), 0.6), ("violet or purple", ("purple",), 0.6), ("deep purple", ("purple",), 0.7),
    ("jet black", ("black",), 0.7), ("black, nothing else", ("black",), 0.6), ("snow white", ("white",), 0.7),
    ("plain white", ("white",), 0.6),
)  # fmt: skip

BUDGETS: dict[str, tuple[tuple[str, float], ...]] = {
    "thrifty": (("costing next to nothing", 0.6), ("below 20 €", 0.7)),
    "moderate": (("for 50 € at most", 0.6), ("mid-priced", 0.5)),
    "generous": (("price does not matter", 0.5), ("a lavish one", 0.6)),
}

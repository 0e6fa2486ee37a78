"""What held-out queries say in the hobby shop: other persons, other openers, other words for the same wishes."""

from __future__ import annotations

OPENERS = (
    "suggestions for {who}? They {what}",
    "thinking of {who}, they {what}",
    "farewell present wanted, {who}, they {what}",
    "which item suits {who} best, they {what}",
    "a prize for {who}, they {what}",
    "last-minute idea, {who}, they {what}",
)

PERSONS = (
    "my classmates", "a hairdresser I know", "both my nieces", "our dentist", "a former roommate", "the janitor",
    "my cousins in Wales", "a violinist", "the new manager", "my stepmother", "an electrician", "our hosts",
    "my bridesmaids", "a shop assistant", "grandad", "two friends of ours",
)  # fmt: skip

INTERESTS: dict[str, tuple[str, ...]] = {
    "cycling": (
        "toured Holland on bicycles", "climb hills on a road bike", "take part in cycle races", "go everywhere by bicycle",
        "are keen cyclists",
    ),
    "water": (
        "splash about in pools", "take scuba lessons", "sunbathe and bathe in the waves", "train with the swimming team",
        "adore beach holidays",
    ),
    "sailing": (
        "rent a yacht in summer", "hoist sails on weekends", "build model ships", "live by the marina", "are proud sailors",
    ),
    "fishing": (
        "catch salmon in Scotland", "cast lines from the pier", "are passionate anglers", "fish at the pond", "fry their own catch",
    ),
    "winter sports": (
        "twirl on ice", "spend January in the snow", "sled with the children", "figure skate", "love frosty days outdoors",
    ),
    "racket sports": (
        "play tennis thrice weekly", "coach a tennis squad", "queue for match tickets", "volley at the net", "smash balls over nets",
    ),
    "baking": (
        "knead dough", "make pastry from scratch", "dream of opening a patisserie", "ice birthday cakes", "are hobby bakers",
    ),
    "astronomy": (
        "observe Saturn's rings", "watch stars from a hill", "study the universe", "photograph galaxies", "follow every space mission",
    ),
    "geography": (
        "trace borders with a finger", "memorise continents", "learn the countries of Earth", "plan expeditions on charts",
        "are geography buffs",
    ),
    "do-it-yourself": (
        "assemble furniture for others", "refurbish a cottage", "do carpentry", "own every tool", "like to hammer and drill",
    ),
    "board games": (
        "belong to a chess club", "throw dice until late", "gather round the table for games", "plot checkmates",
        "play parlour games",
    ),
    "sewing": (
        "stitch garments", "patch jeans and alter skirts", "tailor costumes for theatre", "run up cushions on a machine",
        "are good with needle and thread",
    ),
    "writing": (
        "draft manuscripts", "answer mail with ink on paper", "scribble verses", "are authors", "jot down memoirs",
    ),
    "wine": (
        "taste vintages in cellars", "pour a good red at dinner", "visit wineries", "collect fine bottles", "toast with Chardonnay",
    ),
    "elegance": (
        "dress to the nines", "shop in boutiques", "care about perfume and outfits", "attend gala evenings",
        "wear designer pieces",
    ),
    "punctuality": (
        "sleep through every alarm", "arrive late to work", "rise before sunrise for their job", "need waking up",
        "miss appointments",
    ),
}  # fmt: skip

TASTES: dict[str, tuple[tuple[str, float], ...]] = {
    "plain": (("restrained in design", 0.6), ("bare and functional", 0.6), ("basic please", 0.5)),
    "showy": (("high-gloss", 0.7), ("a glitzy one", 0.6), ("glossy and chic", 0.6)),
    "rustic": (("painted by hand", 0.7), ("flowery, countrified", 0.6), ("quaint with patterns", 0.6)),
}

COLOURS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("ruby red", ("red",), 0.7), ("reddish", ("red",), 0.5), ("tangerine orange", ("orange",), 0.6),
    ("a warm orange", ("orange",), 0.6), ("canary yellow", ("yellow",), 0.7), ("yellowish", ("yellow",), 0.5),
    ("olive or forest green", ("green",), 0.6), ("grass green", ("green",), 0.7), ("royal blue", ("blue",), 0.7),
    ("a shade of blue", ("blue",), 0.5), ("lavender or purple", ("purple",), 0.6), ("plum purple", ("purple",), 0.7),
    ("pitch black", ("black",), 0.7), ("black or nothing", ("black",), 0.7), ("ivory white", ("white",), 0.6),
    ("pure white", ("white",), 0.7),
)  # fmt: skip

BUDGETS: dict[str, tuple[tuple[str, float], ...]] = {
    "thrifty": (("really inexpensive", 0.6), ("ten to twenty euros", 0.7)),
    "moderate": (("fifty euros tops", 0.6), ("moderately priced", 0.5)),
    "generous": (("spare no expense", 0.5), ("a luxurious one", 0.6)),
}

"""What training queries say in the hobby shop. Held-out queries have words of their own (hobby_phrases_heldout.py)."""

from __future__ import annotations

OPENERS = (
    "{who} {what}, what should I get?",
    "something to cheer up {who}: {what}",
    "parcel for {who}, apparently one that {what}",
    "retirement gift, {who} {what}",
    "I need a thank-you for {who} who {what}",
    "help me choose for {who} who {what}",
    "{who} {what} and turns fifty on Monday",
    "wedding list of {who} who {what}",
    "graduation coming up: {who} {what}",
)

PERSONS = (
    "the new doctor", "my brother-in-law", "our choirmaster", "a pen pal in Norway", "my little brother", "the baker",
    "an old army friend", "my pharmacist", "my tutor", "a widow from my street", "our goalkeeper", "my girlfriend",
    "the twins' godfather", "my accountant", "a young farmer", "our babysitter", "my great-aunt", "the vicar",
    "my physiotherapist", "a colleague in sales", "our plumber", "my son", "the retired teacher", "my half-sister",
)  # fmt: skip

INTERESTS: dict[str, tuple[str, ...]] = {
    "cycling": (
        "rides to the office in all weathers", "pedals over mountain passes", "is out on two wheels every Sunday",
        "repairs punctures blindfolded", "follows the Tour de France", "sold the car and kept the bike",
        "loves cycling", "commutes by bike", "races along country lanes",
    ),
    "water": (
        "swims in the lake until October", "dives on coral reefs", "spends July on the beach", "snorkels with the kids",
        "cannot stay out of the sea", "collects shells at low tide", "loves swimming", "lives for the seaside",
        "holidays at the ocean every year",
    ),
    "sailing": (
        "keeps a dinghy in the harbour", "knows every knot", "dreams of crossing the Atlantic under sail",
        "reads the wind like a newspaper", "crews in regattas", "loves sailing", "has salt in the beard",
        "talks of ships all day",
    ),
    "fishing": (
        "sits by the river before dawn", "ties flies for trout", "brags about pike", "sits all day for a bite",
        "loves fishing", "goes angling with grandpa", "brings home carp on Saturdays", "keeps worms in the fridge",
    ),
    "winter sports": (
        "waits for the first snow", "skates on frozen ponds", "races down icy slopes", "plays hockey on Tuesdays",
        "loves winter sports", "glides over the rink", "builds ramps of snow", "was made for cold weather",
    ),
    "racket sports": (
        "serves aces", "plays doubles at the club", "never misses Wimbledon", "practises the backhand against a wall",
        "loves tennis", "is on the clay court every evening", "has won the local tournament", "strings rackets as a side job",
    ),
    "baking": (
        "bakes bread at five in the morning", "decorates cupcakes", "has sourdough in the pantry",
        "folds croissants by hand", "brings cake to every meeting", "loves baking", "watches tarts rise through the oven door",
        "sells biscuits at the fair",
    ),
    "astronomy": (
        "knows all constellations", "stays up for meteor showers", "reads about black holes", "hunts comets from the roof",
        "loves astronomy", "gazes at the night sky", "wanted to be an astronaut", "talks of planets and moons",
    ),
    "geography": (
        "pores over old maps", "can name every capital", "teaches geography", "collects atlases", "knows all rivers of Africa",
        "wins every quiz about countries", "loves maps",
    ),
    "do-it-yourself": (
        "builds shelves on weekends", "renovates an old barn", "fixes whatever breaks", "has a workshop in the cellar",
        "loves building things", "is handy with nails and screws", "put up the fence alone", "spends hours at the hardware store",
    ),
    "board games": (
        "hosts board game nights", "never refuses a match of chess", "knows every opening", "plays backgammon for pennies",
        "rolls sixes at will", "loves board games", "plays for hours at the kitchen table", "is a sore loser at Monopoly",
    ),
    "sewing": (
        "sews her own dresses", "mends the whole family's trousers", "makes quilts", "hems curtains for neighbours",
        "studies fashion design", "loves sewing", "has drawers full of fabric", "tailors suits at home",
    ),
    "writing": (
        "writes long letters", "keeps a diary", "is halfway through a first novel", "has beautiful handwriting",
        "publishes short stories", "loves to write", "pens poems at night", "works as a reporter",
    ),
    "wine": (
        "knows every vineyard in Tuscany", "lays down Bordeaux", "swirls and sniffs", "runs a small wine bar",
        "studies to be a sommelier", "loves wine", "pairs Riesling with everything", "treads grapes each autumn",
    ),
    "elegance": (
        "never leaves the house without dressing up", "reads fashion magazines", "turns up at the opera in style",
        "has an appointment at the beauty salon each week", "loves clothes and accessories", "always smells wonderful",
        "is the best-dressed at the party", "studies the catwalks of Milan", "takes an hour in front of the mirror",
    ),
    "punctuality": (
        "oversleeps every single day", "is never on time", "starts the early shift at four", "must catch the first train",
        "snores through every morning", "cannot get out of bed", "hates being late",
    ),
}  # fmt: skip

TASTES: dict[str, tuple[tuple[str, float], ...]] = {
    "plain": (
        ("no decoration at all", 0.7), ("Scandinavian and simple", 0.6), ("a quiet look", 0.5), ("without any fuss", 0.5),
        ("hates everything loud", 0.6),
    ),
    "showy": (
        ("as shiny as a new car", 0.7), ("wants to be seen", 0.5), ("lacquered, with a mirror finish", 0.7),
        ("fond of all things bling", 0.6), ("modern and sleek", 0.5),
    ),
    "rustic": (
        ("with hand-painted flowers", 0.7), ("in the style of grandmother's kitchen", 0.6), ("dotted and merry", 0.6),
        ("like from a village market", 0.6), ("folksy", 0.5),
    ),
}  # fmt: skip

COLOURS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("red above all", ("red",), 0.7), ("could it be red", ("red",), 0.5), ("orange to match the curtains", ("orange",), 0.6),
    ("orange please", ("orange",), 0.7), ("yellow like the sun", ("yellow",), 0.6), ("yellow if you have it", ("yellow",), 0.5),
    ("green, what else", ("green",), 0.7), ("in some green", ("green",), 0.5), ("blue like the sky", ("blue",), 0.6),
    ("it must not be anything but blue", ("blue",), 0.8), ("purple makes her happy", ("purple",), 0.6),
    ("purple if possible", ("purple",), 0.5), ("black as coal", ("black",), 0.7), ("black goes with everything", ("black",), 0.5),
    ("white like the walls", ("white",), 0.6), ("only white", ("white",), 0.8), ("something fiery", ("red", "orange"), 0.5),
    ("in a cold shade", ("blue", "purple"), 0.5),
)  # fmt: skip

BUDGETS: dict[str, tuple[tuple[str, float], ...]] = {
    "thrifty": (("fifteen euros must do", 0.7), ("I am broke", 0.6), ("a trifle", 0.5)),
    "moderate": (("around forty euros", 0.6), ("in the middle price range", 0.5), ("not a fortune", 0.5)),
    "generous": (("whatever it costs", 0.5), ("we all chip in, so it can be dear", 0.6), ("something expensive", 0.6)),
}  # fmt: skip

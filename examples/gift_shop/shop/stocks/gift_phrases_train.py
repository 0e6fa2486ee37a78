"""What training queries say. Held-out queries have words of their own (phrases_heldout.py)."""

from __future__ import annotations

OPENERS = (
    "a gift for {who} who {what}",
    "looking for something for {who} who {what}",
    "birthday present for {who} who {what}",
    "I want to thank {who} who {what}",
    "something nice for {who} who {what}",
    "for {who} who {what}",
    "Christmas idea for {who} who {what}",
    "my treat for {who} who {what}",
    "{who} who {what} is moving house and gets something from me",
    "for myself: I am the kind of person who {what}",
)

PERSONS = (
    "my sister", "a dear colleague", "my boyfriend", "our old neighbour", "my aunt", "a friend from school",
    "my boss", "my grandfather", "the lady next door", "my cousin", "a young nurse", "my best friend", "a retired judge",
    "my wife", "a student", "my uncle", "our postman", "my daughter", "a busy lawyer", "my flatmate", "my father-in-law",
    "a shy bookkeeper", "my godmother", "an engineer", "my nephew", "a bus driver", "my husband", "the new trainee",
)  # fmt: skip

INTERESTS: dict[str, tuple[str, ...]] = {
    "gardening": (
        "spends every free hour in the flower beds", "grows tomatoes and beans behind the house",
        "cannot pass a garden centre without buying seeds", "talks to the roses in the morning",
        "has soil under the fingernails from March to October", "keeps a balcony full of herbs and geraniums",
        "dreams of an allotment", "plants bulbs every autumn", "loves gardening more than anything",
        "weeds and waters before breakfast", "wins prizes for dahlias", "is turning the lawn into a vegetable patch",
        "loves plants and flowers", "is a passionate gardener", "has a big garden to look after",
    ),
    "pets": (
        "has just adopted a puppy", "lives with two big dogs", "walks the dog three times a day",
        "takes in strays from the shelter", "never goes anywhere without the terrier", "spoils a lazy old labrador",
        "breeds spaniels", "shares the sofa with a greyhound", "trains rescue dogs", "treats the dog like a child",
        "loves dogs", "has a dog called Bruno", "volunteers at the animal shelter", "brushes the poodle every night",
    ),
    "cooking": (
        "cooks for the whole family on Sundays", "tries a new recipe every evening", "loves good food and long dinners",
        "wants to become a chef", "makes pasta from scratch", "collects cookbooks and spices", "stirs risotto with love",
        "hosts the best dinner parties", "watches every cooking show", "fries, braises and bakes all weekend",
        "feeds half the street",
        "is a keen cook", "loves cooking for friends", "lives in the kitchen",
    ),
    "tea": (
        "cannot start the day without coffee", "drinks Earl Grey at five o'clock", "brews the perfect espresso",
        "owns thirty kinds of tea", "warms cold hands on a hot drink", "invites everyone round for a cuppa",
        "is fussy about coffee beans", "lives on caffeine", "loves a quiet tea break", "reads tea leaves for fun",
        "is a coffee addict", "loves tea", "drinks coffee all day long", "serves tea and cake on Sundays",
    ),
    "music": (
        "plays in a band", "sings under the shower and on stage", "practises chords every evening",
        "has music on all day", "goes to a concert every week", "writes songs at night", "used to drum in a rock group",
        "taps a rhythm on every table", "lives for jazz and blues", "teaches music to beginners", "collects old records",
        "loves music", "plays the guitar and the piano", "listens to records every night",
    ),
    "gaming": (
        "plays video games until midnight", "is saving for a new console", "beats everyone at racing games",
        "streams games online", "grew up with pixels and joysticks", "meets friends for gaming nights",
        "never puts the console down", "hunts for high scores", "loves retro arcade games", "spends the holidays on level ten",
        "loves computer games", "is a gamer through and through", "plays Nintendo on the bus", "fights monsters on the screen",
    ),
    "reading": (
        "reads three novels a week", "always has a paperback in the bag", "stays up late with a good story",
        "works in a library", "belongs to two book clubs", "devours crime fiction", "reads poetry aloud",
        "is lost in a thick novel all day", "studies history from old volumes", "reads in bed until two",
        "loves books", "is a bookworm", "reads all the time", "goes to the bookshop every Saturday",
    ),
    "cosiness": (
        "makes the living room a nest", "loves blankets and candlelight", "wants a snug corner at home",
        "stays in on rainy evenings", "has furnished a first flat", "likes soft things and warm light",
        "turns every room into a haven", "naps on the sofa after lunch", "enjoys quiet evenings by the fire",
        "believes a home should hug you",
        "loves a cosy home", "burns candles all winter", "decorates the flat with care", "relaxes on the sofa",
    ),
    "camping": (
        "sleeps under the stars all summer", "hikes through the hills with friends", "pitches camp in any weather",
        "loves the great outdoors", "lights a fire without matches", "spends weekends in the woods",
        "walks long trails from hut to hut", "takes the scouts on tour", "wakes up by a lake whenever possible",
        "knows every mountain path",
        "loves camping", "goes hiking every weekend", "sleeps in a tent in the mountains", "cooks over a campfire in the wild",
    ),
    "travel": (
        "is always at some airport", "plans a trip around the world", "packs bags every month",
        "collects stamps in the passport", "works abroad half the year", "moves from hotel to hotel",
        "books flights on a whim", "has relatives on four continents", "is off on a long train journey",
        "goes on a city break every month",
        "loves travelling", "flies to Asia twice a year", "sees the world with a small bag", "dreams of far countries",
    ),
    "photography": (
        "takes pictures of everything", "develops film in the bathroom", "waits hours for the right light",
        "shoots weddings for a living", "captures birds in flight", "has an eye for portraits",
        "won a photo contest", "documents city life in black and white", "hangs framed snapshots on every wall",
        "loves photography", "is a hobby photographer", "owns many lenses and a darkroom", "photographs landscapes", "takes a camera everywhere",
    ),
    "fitness": (
        "runs before work", "lifts weights at the gym", "does yoga on the terrace", "is training for a marathon",
        "never skips a workout", "wants to get back into shape", "stretches every morning", "counts every step",
        "teaches a pilates class", "sweats for fun", "trains for a triathlon",
        "loves sport", "goes jogging in the park", "works out every day", "is very athletic",
    ),
    "children": (
        "has a son who just turned four", "needs toys for the twins", "has a girl starting kindergarten", "celebrates the third birthday of the little one",
        "plays with the children on the carpet all afternoon", "has a house full of toddlers", "has a kid who wants to be a train driver",
        "runs a nursery", "puts four children to bed every night", "has a daughter who builds castles out of pillows",
        "has a little boy who loves toys", "has a small girl with a big imagination", "has a baby and a toddler at home", "has a child who plays with toys all day", "has a baby in the house",
    ),
    "crafts": (
        "paints landscapes on Sundays", "knits scarves for everyone", "is always making something by hand",
        "takes an evening class in watercolour", "crochets on the train", "has a studio in the attic",
        "sketches in cafés", "mixes colours for hours", "makes all presents herself", "loves wool and needles",
        "loves knitting", "loves painting", "sews and stitches in the evening", "draws and paints with oils", "enjoys arts and crafts",
    ),
}  # fmt: skip

TASTES: dict[str, tuple[tuple[str, float], ...]] = {
    "plain": (
        ("likes simple things", 0.5), ("hates frills", 0.7), ("prefers a clean, quiet design", 0.6), ("a minimalist", 0.6),
        ("nothing flashy please", 0.6), ("sober and understated", 0.5),
    ),
    "showy": (
        ("loves a bit of sparkle", 0.6), ("it should shine", 0.7), ("likes sleek modern things", 0.6),
        ("something glamorous", 0.5), ("the newest, smartest look", 0.5), ("has a weakness for gloss and glitter", 0.7),
    ),
    "rustic": (
        ("loves folk art and patterns", 0.6), ("it should look handmade", 0.7), ("lives in a romantic farmhouse", 0.5),
        ("likes dots and flowers on everything", 0.7), ("something with a country feeling", 0.5),
        ("adores old-fashioned decoration", 0.6),
    ),
}  # fmt: skip

# Words, the colours meant, how much hangs on them.
COLOURS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("it has to be red", ("red",), 0.8), ("in red if possible", ("red",), 0.5), ("red is the favourite colour", ("red",), 0.6),
    ("preferably orange", ("orange",), 0.5), ("something in orange", ("orange",), 0.6),
    ("in a sunny yellow", ("yellow",), 0.6), ("yellow would be lovely", ("yellow",), 0.6),
    ("green like everything there", ("green",), 0.6), ("it must be green", ("green",), 0.8),
    ("blue, to match the walls", ("blue",), 0.6), ("only blue will do", ("blue",), 0.8), ("in blue perhaps", ("blue",), 0.4),
    ("purple is a must", ("purple",), 0.8), ("a purple one would be great", ("purple",), 0.6),
    ("all in black", ("black",), 0.7), ("wears nothing but black", ("black",), 0.5),
    ("white and pure", ("white",), 0.6), ("it should be white", ("white",), 0.7),
    ("in warm colours", ("red", "orange", "yellow"), 0.5), ("in a cheerful bright colour", ("orange", "yellow"), 0.5),
    ("in a cool colour", ("blue", "purple"), 0.5), ("as dark as possible", ("black",), 0.6),
)  # fmt: skip

BUDGETS: dict[str, tuple[tuple[str, float], ...]] = {
    "thrifty": (
        ("under twenty euros", 0.7), ("it must be cheap", 0.7), ("just a small token", 0.5), ("my purse is nearly empty", 0.6),
    ),
    "moderate": (("up to fifty euros", 0.6), ("not too expensive", 0.5), ("at a reasonable price", 0.5)),
    "generous": (
        ("money is no object", 0.5), ("it may cost a lot", 0.5), ("the big present this year", 0.6), ("I want to be generous", 0.5),
    ),
}  # fmt: skip

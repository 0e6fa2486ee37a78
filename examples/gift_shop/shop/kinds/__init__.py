"""Every kind of product the shop sells, by its literal name, with the function that draws it."""

from __future__ import annotations

from collections.abc import Callable

from shop.canvas import Pen
from shop.kinds import garden, home, kitchen, music, outdoors, play

Drawing = Callable[[Pen], None]

DRAWINGS: dict[str, Drawing] = {
    "watering can": garden.watering_can,
    "trowel": garden.trowel,
    "plant pot": garden.plant_pot,
    "rubber boots": garden.rubber_boots,
    "birdhouse": garden.birdhouse,
    "dog bowl": garden.dog_bowl,
    "kennel": garden.kennel,
    "frying pan": kitchen.frying_pan,
    "cooking pot": kitchen.cooking_pot,
    "apron": kitchen.apron,
    "teapot": kitchen.teapot,
    "mug": kitchen.mug,
    "moka pot": kitchen.moka_pot,
    "guitar": music.guitar,
    "drum": music.drum,
    "headphones": music.headphones,
    "game controller": music.game_controller,
    "handheld game console": music.handheld_console,
    "book": home.book,
    "desk lamp": home.desk_lamp,
    "armchair": home.armchair,
    "candle": home.candle,
    "cushion": home.cushion,
    "lantern": home.lantern,
    "tent": outdoors.tent,
    "backpack": outdoors.backpack,
    "suitcase": outdoors.suitcase,
    "camera": outdoors.camera,
    "kite": outdoors.kite,
    "dumbbell": outdoors.dumbbell,
    "yoga mat": outdoors.yoga_mat,
    "sneaker": outdoors.sneaker,
    "teddy bear": play.teddy_bear,
    "toy train": play.toy_train,
    "paint palette": play.paint_palette,
    "ball of yarn": play.ball_of_yarn,
}

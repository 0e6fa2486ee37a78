"""Wishes that nothing in the gift shop answers: other goods, services, and near misses (things it almost sells)."""

from __future__ import annotations

import hashlib

WISHES = (
    # vehicles and tools
    "winter tyres for my brother's van", "a torque wrench for a mechanic who restores old motorcycles",
    "spare wheel for a wheelchair", "roof rack for a small hatchback, black", "engine oil for a lawn tractor",
    "an electric scooter for a commuter", "a cordless drill for someone renovating a flat",
    "bicycle chain and brake pads",
    "a boat trailer for a weekend sailor", "a welding helmet for my apprentice",
    # household machines and building
    "a washing machine that fits under the counter", "new fridge for a student flat, under 300 €",
    "a boiler for a detached house", "bathroom tiles in white", "a garage door with remote control",
    "double glazed windows for a bedroom", "vacuum cleaner bags", "an air conditioner for a hot attic office",
    "a smoke detector for the hallway", "replacement toilet seat",
    # health and body
    "reading glasses, plus two dioptres", "hearing aid batteries for my grandfather", "a blood pressure monitor",
    "pills against hay fever", "knee brace after an operation", "an electric toothbrush for sensitive gums",
    "perfume for my mother, something with jasmine", "anti-ageing night cream", "red lipstick for an evening out",
    "a beard trimmer for my father", "contact lens solution", "hair dye, dark brown",
    # clothes, jewellery, accessories
    "a wedding ring in white gold", "a wristwatch for a pilot", "silk tie for a banker", "maternity jeans",
    "a warm winter coat for my aunt", "pearl earrings for her sixtieth birthday",
    "a leather handbag, elegant, burgundy",
    "thermal socks for a fisherman", "an evening gown for the opera ball", "swimming trunks for the seaside",
    # office, computers, electronics
    "a laser printer for a law firm", "a laptop for a programmer", "ergonomic office chair mat",
    "a wifi router with good range",
    "toner cartridge, cyan", "a paper shredder for the accountant", "external hard disk, four terabytes",
    "a smartphone for my grandmother with large keys", "solar panels for a roof", "a 3D printer for an inventor",
    # food and drink
    "a crate of Bordeaux for my boss", "dark chocolate truffles for a sweet tooth", "gluten-free flour",
    "a smoked ham for the neighbours", "baby formula, first stage", "craft beer for a bachelor party",
    # services, tickets, money
    "a voucher for a haircut", "two tickets for the football final", "travel insurance for a cruise passenger",
    "driving lessons for my niece", "a spa weekend for two", "someone who tunes pianos", "a loan for a new kitchen",
    "translation of my birth certificate", "a subscription to a financial newspaper",
    "life insurance for young parents",
    # animals, music, play, sport: close to what the shop sells, and not sold
    "an aquarium filter for tropical fish", "a saddle for a girl who rides ponies", "hay for two guinea pigs",
    "violin strings for a soloist", "a church organ", "a billiard table for the club house",
    "skis and ski boots, size 43",
    "a treadmill for the living room", "a surfboard for a beginner", "golf clubs for my father-in-law",
    "a telescope to look at Saturn", "a microscope for a biology student",
)  # fmt: skip


def split() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The wishes for the calibration and those for the report, 40 each."""
    order = sorted(WISHES, key=lambda wish: hashlib.sha256(wish.encode()).digest())
    return tuple(order[: len(order) // 2]), tuple(order[len(order) // 2 :])

"""Writes labelled receipts to a Parquet file: texts as tills print them, and vectors of them.

The vectors count pieces of three letters, hashed into 256 numbers, so that no model is needed.
"""

import json
import math
import random
import sys
import zlib

import pyarrow as pa
import pyarrow.parquet as pq

DIMENSION = 256
PLACES = ["BERLIN", "HAMBURG", "KOELN", "MUENCHEN", "LEIPZIG", "BREMEN", "DRESDEN", "ESSEN"]
SHOPS = {
    "groceries": ["ALDO MARKT", "REHWE", "EDEKO CENTER", "PENNI", "KAUFHAUF"],
    "fuel": ["ARAL-AN", "SHELF STATION", "TOTAL TANK", "JET-OIL"],
    "pharmacy": ["ADLER APOTHEKE", "ROSEN APOTHEKE", "DM-DROGERIE", "ROSSMAN DROGERIE"],
    "restaurant": ["TRATTORIA ROMA", "GASTHOF ADLER", "SUSHI YUKI", "CAFE ROSEN"],
    "travel": ["DB FERNVERKEHR", "LUFTHANSE", "HOTEL ADLER", "FLIXEBUS"],
}
ITEMS = {
    "groceries": "MILCH BROT EIER KAESE TOMATEN NUDELN REIS BUTTER APFEL KAFFEE WASSER SHAMPOO",
    "fuel": "SUPER E10 DIESEL LITER SAEULE WASCHEN OEL KAFFEE WASSER BROETCHEN",
    "pharmacy": "IBUPROFEN PFLASTER SHAMPOO ZAHNPASTA VITAMIN SALBE HUSTENSAFT SEIFE WASSER",
    "restaurant": "PIZZA PASTA SUSHI SUPPE SALAT KAFFEE WASSER BIER TRINKGELD TISCH",
    "travel": "TICKET FAHRKARTE SITZPLATZ ZIMMER NACHT FLUG GEPAECK KAFFEE TRINKGELD",
}
SPELLINGS = [str, str, str, str.upper, str.title]
WRONG = 0.04
"""Share of the receipts that somebody has labelled wrongly."""


def receipt(rng, number):
    label = rng.choice(sorted(SHOPS))
    shop = rng.choice(SHOPS[label])
    items = rng.choices(ITEMS[label].split(), k=rng.randrange(1, 5))
    prices = [f"{rng.randrange(99, 6000) / 100:.2f}" for _ in items]
    lines = [f"{item} {price}" for item, price in zip(items, prices, strict=True)]
    text = " ".join([shop, str(rng.randrange(1000, 9999)), rng.choice(PLACES), *lines])
    said = rng.choice(sorted(SHOPS)) if rng.random() < WRONG else label
    metadata = {"label": rng.choice(SPELLINGS)(said), "merchant": shop}
    return f"receipt-{number:04d}", vector(text), json.dumps(metadata), text


def vector(text):
    counts = [0.0] * DIMENSION
    for start in range(len(text) - 2):
        counts[zlib.crc32(text[start : start + 3].encode()) % DIMENSION] += 1
    length = math.hypot(*counts)
    return [count / length for count in counts]


def main(path):
    rng = random.Random(1)
    rows = [receipt(rng, number) for number in range(1200)]
    fields = [
        ("id", pa.string()),
        ("embedding", pa.list_(pa.float32(), DIMENSION)),
        ("metadata", pa.string()),
        ("document", pa.string()),
    ]
    columns = [
        pa.array(values, kind)
        for values, (_, kind) in zip(zip(*rows, strict=True), fields, strict=True)
    ]
    schema = pa.schema(fields, metadata={"chroma.space": "cosine"})
    pq.write_table(pa.table(columns, schema=schema), path)


main(*sys.argv[1:])

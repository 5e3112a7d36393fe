"""Writes x.npy and y.npy: 1,000 rows of 100 bytes around ten centres, and which centre it was.

Needs Python alone; the same seed writes the same files.
"""

import random
import struct

random.seed(42)
centres = [[random.gauss(128, 16) for _ in range(100)] for _ in range(10)]
labels = [row % 10 for row in range(1000)]
random.shuffle(labels)


def npy(path, shape, values):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    header = header.ljust(117) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        file.write(bytes(values))


def noisy(value):
    return min(max(round(random.gauss(value, 30)), 0), 255)


npy("x.npy", (1000, 100), [noisy(value) for label in labels for value in centres[label]])
npy("y.npy", (1000,), labels)

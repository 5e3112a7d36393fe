"""PyTorch's side of the training benchmark: forward, backward and Adam on the CPU.

usage: train_pytorch.py THREADS WORKLOAD plain|fused      (needs `pip install torch`)

The same networks, data and method as benches/src/bin/train.rs: a warm-up, then five windows of about 0.6 s.
"""

import os
import resource
import sys
import time

THREADS, WORKLOAD, ADAM = int(sys.argv[1]), sys.argv[2], sys.argv[3]
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))

import torch  # noqa: E402  (reads OMP_NUM_THREADS when it is imported)
from torch import nn  # noqa: E402

torch.set_num_threads(THREADS)
torch.manual_seed(42)


def dense(*widths):
    layers = []
    for before, after in zip(widths, widths[1:]):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def convolutions():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1600, 64), nn.ReLU(), nn.Linear(64, 10),
    )


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.last = nn.LSTM(8, 64, batch_first=True), nn.Linear(64, 1)

    def forward(self, x):
        return self.last(self.lstm(x)[0][:, -1])


class Transformer(nn.Module):
    """Two encoder blocks, the mean over the steps, and ten logits."""

    def __init__(self):
        super().__init__()
        block = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.output = nn.Linear(128, 10)

    def forward(self, x):
        return self.output(self.blocks(x).mean(1))


# Network, shape of a mini-batch, and the number of classes; none where one number is to be learned.
WORKLOADS = {
    "a32": (lambda: dense(100, 64, 64, 10), (32, 100), 10),
    "a1024": (lambda: dense(100, 64, 64, 10), (1024, 100), 10),
    "b32": (convolutions, (32, 1, 28, 28), 10),
    "b256": (convolutions, (256, 1, 28, 28), 10),
    "c64": (Lstm, (64, 64, 8), None),
    "d32": (Transformer, (32, 64, 128), 10),
    "e256": (lambda: dense(1024, 2048, 2048, 1000), (256, 1024), 1000),
}


def mini_batches(shape, classes):
    rows = [torch.randn(*shape) for _ in range(4)]
    features = torch.Size(shape[1:]).numel()
    if classes is None:
        return [(x, 5 * x.flatten(1)[:, features // 2 :].mean(1, keepdim=True)) for x in rows]
    projection = torch.randn(features, classes)
    return [(x, (x.flatten(1) @ projection).argmax(1)) for x in rows]


def main():
    build, shape, classes = WORKLOADS[WORKLOAD]
    network, batches = build(), mini_batches(shape, classes)
    criterion = nn.functional.mse_loss if classes is None else nn.functional.cross_entropy
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True if ADAM == "fused" else None)
    steps = 0

    def step():
        nonlocal steps
        x, y = batches[steps % len(batches)]
        steps += 1
        loss = criterion(network(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    first = step().item()
    start, warm = time.perf_counter(), 0
    while time.perf_counter() - start < 1.0 or warm < 12:
        step().item()
        warm += 1
    count = max(2, int(0.6 * warm / (time.perf_counter() - start)) + 1)
    rates, cpu = [], time.process_time()
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(count):
            loss = step()
        last = loss.item()
        rates.append(count * shape[0] / (time.perf_counter() - start))
    cpu = (time.process_time() - cpu) / (5 * count * shape[0])
    rates.sort()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"RESULT workload={WORKLOAD} samples_per_second={rates[2]:.1f} min={rates[0]:.1f} max={rates[-1]:.1f} "
        f"cpu_us_per_sample={cpu * 1e6:.4f} peak_mib={peak:.1f} loss_first={first:.4f} loss_last={last:.4f}"
    )


main()

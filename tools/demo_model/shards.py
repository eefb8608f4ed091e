"""Training examples on disk: token ids with one weight per token, and batches of similar length."""

import numpy as np


class ShardWriter:
    def __init__(self):
        self.ids, self.weights, self.lengths = [], [], []

    def add(self, ids, weights):
        """ids: token ids; weights: same length, 0..1, how much predicting that token counts."""
        if len(ids) != len(weights):
            raise ValueError(f"{len(ids)} ids but {len(weights)} weights")
        self.ids.append(np.asarray(ids, dtype=np.uint16))
        self.weights.append(np.round(np.asarray(weights) * 100).astype(np.uint8))
        self.lengths.append(len(ids))

    def n_tokens(self):
        return sum(self.lengths)

    def save(self, path):
        np.savez(path, ids=np.concatenate(self.ids), weights=np.concatenate(self.weights),
                 lengths=np.asarray(self.lengths, dtype=np.int64))


class Source:
    """Endless microbatches from some shards; every pass is shuffled anew from the seed."""

    def __init__(self, paths, seed, tokens_per_batch, pad_id, max_length=2048):
        ids, weights, lengths = [], [], []
        for path in paths:
            with np.load(path) as data:
                ids.append(data["ids"])
                weights.append(data["weights"])
                lengths.append(data["lengths"])
        self.ids, self.weights = np.concatenate(ids), np.concatenate(weights)
        self.lengths = np.concatenate(lengths)
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self.rng = np.random.default_rng(seed)
        self.tokens_per_batch, self.pad_id, self.max_length = tokens_per_batch, pad_id, max_length
        self.queue = []
        self.passes = 0

    def _plan(self):
        order = self.rng.permutation(len(self.lengths))
        batches = []
        window = 4096
        for lo in range(0, len(order), window):
            part = order[lo:lo + window]
            part = part[np.argsort(np.minimum(self.lengths[part], self.max_length), kind="stable")]
            batch, longest = [], 0
            for i in part:
                width = self._padded(self.lengths[i])
                if batch and max(longest, width) * (len(batch) + 1) > self.tokens_per_batch:
                    batches.append(batch)
                    batch, longest = [], 0
                batch.append(i)
                longest = max(longest, width)
            batches.append(batch)
        self.queue = [batches[i] for i in self.rng.permutation(len(batches))]
        self.passes += 1

    def _padded(self, n):
        step = 64 if n <= 512 else 128
        return min(self.max_length, -(-int(n) // step) * step)

    def next(self):
        """(ids [b, t] int64, weights [b, t] float32); padding has weight 0."""
        if not self.queue:
            self._plan()
        batch = self.queue.pop()
        width = max(self._padded(self.lengths[i]) for i in batch)
        ids = np.full((len(batch), width), self.pad_id, dtype=np.int64)
        weights = np.zeros((len(batch), width), dtype=np.float32)
        for row, i in enumerate(batch):
            n = min(int(self.lengths[i]), width)
            lo = self.starts[i]
            ids[row, :n] = self.ids[lo:lo + n]
            weights[row, :n] = self.weights[lo:lo + n] / 100.0
        return ids, weights

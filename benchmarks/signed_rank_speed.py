"""How fast is the signed-rank kernel, against what, and how far from the floor?

Run: ``python benchmarks/signed_rank_speed.py`` (about two minutes). decoupler and gseapy are measured if they can be
imported; install them in an environment of their own. Every figure is CPU seconds of one process (all its threads
added up), the best of several repeats, unless it says otherwise. Data is synthetic and seeded.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clinical_assets.pathways.signed_rank.membership import MembershipIndex, membership_index
from clinical_assets.pathways.signed_rank.signed_rank import signed_rank

SCIPY_CELLS = 400
#: The floor that the goal is held against: same memberships, same lists, same order.
HEADLINE = "gene by gene, in each subject's order"


def synthetic_sets(n_genes: int, n_sets: int, *, seed: int) -> list[np.ndarray]:
    """Log-normal sizes cut to 15-500, on average about 137 genes, like GO Biological Process."""
    rng = np.random.default_rng(seed)
    sizes = np.clip(np.round(np.exp(rng.normal(4.55, 0.95, n_sets))), 15, 500).astype(int)
    return [rng.choice(n_genes, size, replace=False) for size in sizes]


def cpu_seconds(call: Callable[[], object], repeats: int) -> float:
    best = np.inf
    for _ in range(repeats):
        begin = time.process_time()
        call()
        best = min(best, time.process_time() - begin)
    return float(best)


def floors(index: MembershipIndex, differences: np.ndarray, repeats: int) -> dict[str, float]:
    """CPU seconds of bare load-increment-store passes over the same memberships, once per subject.

    The first is the floor of a rank test: the kernel's lists in the order in which it must visit them, the subject's
    own order of |d|. The others visit the same memberships in an order that is easier for the memory but gives no
    subject its ranks: they show what the order alone costs. None visits the filling of the kernel's lists.
    """
    import numba

    counts = np.diff(index.starts).astype(np.int64)
    real = index.members < index.n_sets  # without the filling
    members = index.members[real]
    owner = np.repeat(np.arange(index.genes.size), counts)[real]
    starts = np.zeros(index.genes.size + 1, dtype=np.uint64)
    starts[1:] = np.cumsum(np.bincount(owner, minlength=index.genes.size))
    counters = np.zeros(index.n_sets, dtype=np.uint32)
    file_order = np.tile(np.arange(index.genes.size, dtype=np.uint64), (differences.shape[0], 1))
    walk_order = np.argsort(np.abs(differences[:, index.genes]), axis=1).astype(np.uint64)

    @numba.njit
    def stream(subjects, members, counters):  # type: ignore[no-untyped-def]
        for _ in range(subjects):
            for k in range(members.shape[0]):
                counters[members[k]] += 1

    @numba.njit
    def by_gene(orders, starts, members, counters):  # type: ignore[no-untyped-def]
        for i in range(orders.shape[0]):
            for j in range(orders.shape[1]):
                g = orders[i, j]
                for k in range(starts[g], starts[g + np.uint64(1)]):
                    counters[members[k]] += 1

    calls: dict[str, Callable[[], object]] = {
        HEADLINE: lambda: by_gene(walk_order, starts, members, counters),
        "gene by gene, in the order of memory": lambda: by_gene(file_order, starts, members, counters),
        "one flat stream, no genes at all": lambda: stream(differences.shape[0], members, counters),
    }
    for call in calls.values():
        call()
    return {name: cpu_seconds(call, repeats) for name, call in calls.items()}


def scipy_loop(differences: np.ndarray, sets: list[np.ndarray]) -> tuple[float, int]:
    """Extrapolated CPU seconds of a scipy loop, and how many of the sampled p-values were bit-equal to ours."""
    from scipy.stats import wilcoxon

    rng = np.random.default_rng(0)
    cells = [(int(rng.integers(differences.shape[0])), int(rng.integers(len(sets)))) for _ in range(SCIPY_CELLS)]
    inputs = [differences[i, sets[j]] for i, j in cells]
    begin = time.process_time()
    p = [wilcoxon(d, correction=True).pvalue for d in inputs]
    each = (time.process_time() - begin) / SCIPY_CELLS
    ours = signed_rank(differences, sets).p_value
    equal = sum(ours[i, j] == value for (i, j), value in zip(cells, p, strict=True))
    return each * differences.shape[0] * len(sets), int(equal)


def peers(differences: np.ndarray, sets: list[np.ndarray]) -> dict[str, float]:
    """CPU seconds of the installed peers on the same matrix and sets; they answer other questions."""
    found: dict[str, float] = {}
    names = np.array([f"g{i}" for i in range(differences.shape[1])])
    if importlib.util.find_spec("decoupler"):
        import decoupler
        import pandas as pd

        frame = pd.DataFrame(differences, columns=names)
        net = pd.DataFrame(
            {
                "source": np.repeat([f"s{j}" for j in range(len(sets))], [s.size for s in sets]),
                "target": names[np.concatenate(sets)],
            }
        )
        for method in ("ulm", "zscore"):
            run = getattr(decoupler.mt, method)
            run(frame.iloc[:2], net, tmin=5, verbose=False)  # compiles
            found[f"decoupler {decoupler.__version__} {method}"] = cpu_seconds(
                lambda run=run: run(frame, net, tmin=5, verbose=False), 2
            )
    if importlib.util.find_spec("gseapy"):
        import gseapy
        import pandas as pd

        frame = pd.DataFrame(differences.T, index=names)
        frame.columns = [f"p{i}" for i in range(differences.shape[0])]
        library = {f"s{j}": names[s].tolist() for j, s in enumerate(sets)}
        found[f"gseapy {gseapy.__version__} ssgsea"] = cpu_seconds(
            lambda: gseapy.ssgsea(
                data=frame, gene_sets=library, outdir=None, min_size=5, max_size=1000, threads=1, no_plot=True
            ),
            1,
        )
    return found


def peak_gib() -> float:
    """Peak resident memory of this process; getrusage would report a parent's peak after a fork."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def large(n_subjects: int = 1000, n_genes: int = 20_000, n_sets: int = 10_000) -> None:
    """The large case, in a process of its own so that its peak memory is its own."""
    sets = synthetic_sets(n_genes, n_sets, seed=2)
    differences = np.random.default_rng(3).normal(size=(n_subjects, n_genes))
    signed_rank(differences[:2], sets)  # compiles
    before = peak_gib()
    wall, cpu = time.perf_counter(), time.process_time()
    result = signed_rank(differences, sets)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    import numba

    print(
        f"{n_subjects:,} subjects x {n_genes:,} genes x {n_sets:,} sets "
        f"({sum(s.size for s in sets):,} memberships), index included:\n"
        f"  {wall:.2f} s on {numba.config.NUMBA_NUM_THREADS} threads, {cpu:.2f} CPU seconds; "
        f"peak memory {peak_gib():.2f} GiB, of which {before:.2f} GiB before the call "
        f"(goal: 2.5 s on two cores, 1 GB); results {sum(a.nbytes for a in vars(result).values()) / 2**20:.0f} MiB"
    )


def compile_cost() -> None:
    """CPU seconds of the first call in a fresh process."""
    begin = time.process_time()
    import numba  # noqa: F401

    loaded = time.process_time()
    signed_rank(np.ones((1, 20)), [np.arange(20)])
    print(
        f"first call in a fresh process: numba import {loaded - begin:.2f}, "
        f"compilation and call {time.process_time() - loaded:.2f} CPU seconds"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["all", "large", "compile"], default="all")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    if options.part == "large":
        large()
        return
    if options.part == "compile":
        compile_cost()
        return
    import numba
    import scipy

    print(
        f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, "
        f"numba {numba.__version__}, {platform.machine()}; synthetic data"
    )
    n_subjects, n_genes, n_sets = 20, 17_000, 5_000
    sets = synthetic_sets(n_genes, n_sets, seed=1)
    differences = np.random.default_rng(1).normal(size=(n_subjects, n_genes))
    index = membership_index(sets, n_genes=n_genes)
    signed_rank(differences, index)
    steps = index.n_memberships * n_subjects
    print(f"{n_subjects} subjects x {n_genes:,} genes x {n_sets:,} sets of 15-500, {index.n_memberships:,} memberships")
    prepared = cpu_seconds(lambda: signed_rank(differences, index), options.repeats)
    whole = cpu_seconds(lambda: signed_rank(differences, sets), options.repeats)
    print(f"  signed_rank, index ready    {prepared:8.4f} s   {prepared / steps * 1e9:.2f} ns a membership")
    print(f"  signed_rank, from the lists {whole:8.4f} s")
    tied = np.round(differences, 1)
    print(f"  the same, heavily tied data {cpu_seconds(lambda: signed_rank(tied, index), 3):8.4f} s")
    print("floors, bare load-increment-store passes over the same memberships (goal: at most 2.5 times the first):")
    for name, seconds in floors(index, differences, options.repeats).items():
        print(f"  {name:38s} {seconds:8.4f} s   {seconds / steps * 1e9:.2f} ns; ours {prepared / seconds:.2f} times")
    loop, equal = scipy_loop(differences, sets)
    print(
        f"scipy loop, extrapolated from {SCIPY_CELLS} of {n_subjects * n_sets:,} tests: {loop:.1f} s; ours is "
        f"{loop / whole:,.0f} times as fast from the lists, {loop / prepared:,.0f} with the index (goal 1,000); "
        f"{equal} of {SCIPY_CELLS} p-values bit-equal"
    )
    measured = peers(differences, sets)
    for name, seconds in measured.items():
        print(f"{name}: {seconds:.2f} s; ours is {seconds / whole:,.0f} times as fast (goal 100)")
    if not measured:
        print("decoupler and gseapy are not installed here: not compared")
    for part in ("compile", "large"):
        subprocess.run([sys.executable, __file__, "--part", part], check=True)


if __name__ == "__main__":
    main()

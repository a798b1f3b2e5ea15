"""Checks every function of numpy.linalg and every BLAS product against their definitions.

Run by the interpreter that has the numpy to check, in a container or on the host; needs nothing
but numpy. Prints one line and ends with 0, or fails with the first difference. No expected value
comes from a BLAS: products are compared with einsum's own loops, factorizations with the matrix.
"""

from __future__ import annotations

import itertools
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.linalg import LinAlgError, lapack_lite

if TYPE_CHECKING:
    from collections.abc import Iterator

DTYPES = ("float32", "float64", "complex64", "complex128")
RANDOM = np.random.default_rng(2)
passed: list[str] = []


def make(dtype: str, *shape: int) -> Any:
    values = RANDOM.standard_normal(shape)
    if dtype.startswith("complex"):
        values = values + 1j * RANDOM.standard_normal(shape)
    return values.astype(dtype)


def tolerance(dtype: str, size: int) -> float:
    return float(40 * np.finfo(dtype).eps * max(size, 1))


def same(got: Any, expected: Any, dtype: str, size: int, what: str) -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"{what}: {got.shape} != {expected.shape}"
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    error = float(np.abs(got - expected).max(initial=0)) / scale
    assert error <= tolerance(dtype, size), f"{what}: off by {error:.1e}"
    passed.append(what)


def layouts(matrix: Any) -> Iterator[Any]:
    """The same numbers in row-major, column-major, strided, reversed and transposed memory."""
    yield matrix
    yield np.asfortranarray(matrix)
    spread = np.zeros([2 * n for n in matrix.shape], matrix.dtype)
    spread[::2, ::2] = matrix
    yield spread[::2, ::2]
    yield matrix[::-1, ::-1].copy()[::-1, ::-1]
    yield np.ascontiguousarray(matrix.T).T


def products(dtype: str) -> None:
    for m, k, n in (
        (0, 3, 2),
        (3, 0, 2),
        (1, 1, 1),
        (1, 7, 5),
        (5, 1, 4),
        (17, 33, 9),
        (40, 13, 70),
    ):
        a, b = make(dtype, m, k), make(dtype, k, n)
        expected = np.einsum("ij,jk->ik", a, b, optimize=False)
        for left, right in itertools.product(layouts(a), layouts(b)):
            same(left @ right, expected, dtype, k, f"{dtype} {m}x{k} @ {k}x{n}")
            same(np.dot(left, right), expected, dtype, k, f"{dtype} dot {m}x{k}x{n}")
        x = make(dtype, k)
        vector = np.einsum("ij,j->i", a, x, optimize=False)
        for left, right in itertools.product(
            layouts(a), (x, np.repeat(x, 3)[::3], x[::-1].copy()[::-1])
        ):
            same(left @ right, vector, dtype, k, f"{dtype} matrix @ vector {m}x{k}")
            same(right @ left.T, vector, dtype, k, f"{dtype} vector @ matrix {m}x{k}")
        for square in layouts(a):
            gram = np.einsum("ij,kj->ik", a, a, optimize=False)
            same(square @ square.T, gram, dtype, k, f"{dtype} a @ a.T {m}x{k}")
            own = np.einsum("ji,jk->ik", a, a, optimize=False)
            same(square.T @ square, own, dtype, m, f"{dtype} a.T @ a {m}x{k}")
        y = make(dtype, k)
        same(np.vdot(x, y), (x.conj() * y).sum(), dtype, k, f"{dtype} vdot {k}")
        same(np.dot(x, y), (x * y).sum(), dtype, k, f"{dtype} dot {k}")


def blocks(dtype: str) -> None:
    """One product larger than every block of the kernels: rows, columns and depth."""
    a, b = make(dtype, 150, 530), make(dtype, 530, 1040)
    rows, columns = [0, 63, 64, 127, 128, 149], [0, 5, 509, 510, 1019, 1020, 1039]
    product = a @ b
    expected = np.einsum("ij,jk->ik", a[rows], b[:, columns], optimize=False)
    same(product[np.ix_(rows, columns)], expected, dtype, 530, f"{dtype} blocks")
    same(product.sum(), a.sum(axis=0) @ b.sum(axis=1), dtype, 530 * 40, f"{dtype} block sums")


def factorizations(dtype: str) -> None:
    for n in (1, 2, 5, 33, 70):
        a, b = make(dtype, n, n), make(dtype, n, 3)
        identity = np.eye(n, dtype=dtype)
        positive = a @ a.conj().T + n * identity
        well = a + 2 * n * identity
        name = f"{dtype} {n}"
        same(np.linalg.inv(well) @ well, identity, dtype, n, f"{name} inv")
        same(well @ np.linalg.solve(well, b), b, dtype, n, f"{name} solve")
        lower = np.linalg.cholesky(positive)
        same(lower @ lower.conj().T, positive, dtype, n, f"{name} cholesky")
        assert np.all(np.triu(lower, 1) == 0)
        for mode in ("reduced", "complete"):
            q, r = np.linalg.qr(make(dtype, n + 3, n), mode=mode)
            same(q.conj().T @ q, np.eye(q.shape[1]), dtype, n, f"{name} qr {mode}")
            assert np.all(np.tril(r, -1) == 0)
        for rows, columns in ((n, n), (n + 2, n), (n, n + 2)):
            wide = make(dtype, rows, columns)
            u, s, vh = np.linalg.svd(wide, full_matrices=False)
            same(u * s @ vh, wide, dtype, n, f"{name} svd {rows}x{columns}")
            same(np.linalg.svd(wide, compute_uv=False), s, dtype, n, f"{name} svdvals")
            same(wide @ np.linalg.pinv(wide) @ wide, wide, dtype, 20 * n, f"{name} pinv")
        triangles: tuple[Literal["L"], Literal["U"]] = ("L", "U")
        for uplo in triangles:
            values, vectors = np.linalg.eigh(positive, UPLO=uplo)
            same(positive @ vectors, vectors * values, dtype, n, f"{name} eigh {uplo}")
            same(np.linalg.eigvalsh(positive, UPLO=uplo), values, dtype, n, f"{name} eigvalsh")
        values, vectors = np.linalg.eig(a)
        same(a @ vectors, vectors * values, dtype, 4 * n, f"{name} eig")
        same(values.sum(), np.trace(a), dtype, 4 * n, f"{name} sum of eigenvalues")
        tall = make(dtype, 2 * n, n)
        x, *_ = np.linalg.lstsq(tall, make(dtype, 2 * n, 2) * 0 + tall[:, :1], rcond=None)
        same(x, np.eye(n, 1, dtype=dtype) + np.zeros((n, 2)), dtype, 20 * n, f"{name} lstsq")
        sign, logarithm = np.linalg.slogdet(positive)
        pivots = 2 * np.log(np.abs(np.diag(lower).astype("complex128"))).sum()
        same(logarithm, pivots, dtype, n, f"{name} slogdet")
        assert abs(sign - 1) < tolerance(dtype, n)
        assert np.linalg.matrix_rank(tall[:, :1] @ tall[:1]) == 1
        same(
            np.linalg.matrix_power(well / n, 3),
            well @ well @ well / n**3,
            dtype,
            n,
            f"{name} power",
        )
        stack = np.stack([well, positive])
        same(np.linalg.inv(stack) @ stack, np.stack([identity] * 2), dtype, n, f"{name} stacked")
        np.linalg.norm(a, 2), np.linalg.cond(well)
    same(np.linalg.det(make(dtype, 0, 0)), 1, dtype, 1, f"{dtype} empty det")
    assert np.linalg.inv(make(dtype, 0, 0)).shape == (0, 0)
    assert np.linalg.solve(make(dtype, 2, 2), make(dtype, 2, 0)).shape == (2, 0)
    assert np.linalg.svd(make(dtype, 3, 0), compute_uv=False).shape == (0,)


def special_values(dtype: str) -> None:
    """Nothing is skipped because a factor is zero: NaN and infinity reach the result."""
    for bad in (np.nan, np.inf):
        for n in (2, 40):
            a = np.ones((n, n), dtype)
            a[0, 0] = bad
            zeros = np.zeros((n, n), dtype)
            assert np.isnan((a @ zeros)[0]).all(), f"{dtype} {bad} * 0 in a row"
            assert np.isnan((zeros @ a)[:, 0]).all(), f"{dtype} 0 * {bad} in a column"
            assert np.isfinite((a @ zeros)[1:]).all(), f"{dtype} {bad} leaked"
            assert np.isnan(a @ np.zeros(n, dtype))[0]
    with_nan = np.eye(3, dtype=dtype)
    with_nan[1, 1] = np.nan
    assert np.isnan(np.linalg.det(with_nan))
    assert np.isnan(np.linalg.solve(with_nan, np.zeros((3, 1), dtype))[1, 0]), "0 / nan"
    for place in ((0, 0), (2, 1)):
        with_nan = np.eye(3, dtype=dtype)
        with_nan[place] = np.nan
        assert np.isnan(np.linalg.qr(with_nan).R[place[1], place[1]]), f"qr lost the nan at {place}"
    for call in (np.linalg.svd, np.linalg.eigvals):
        try:
            call(with_nan)
        except LinAlgError:
            continue
    tiny = np.finfo(dtype).tiny
    near = np.array([[1, 0], [0, 1]], dtype) * tiny
    same(np.linalg.solve(near, near), np.eye(2), dtype, 2, f"{dtype} smallest numbers")


def failures(dtype: str) -> None:
    for call in (np.linalg.inv, lambda a: np.linalg.solve(a, a)):
        try:
            call(np.zeros((3, 3), dtype))
        except LinAlgError:
            continue
        raise AssertionError(f"{dtype}: a singular matrix was accepted")
    try:
        np.linalg.cholesky(-np.eye(3, dtype=dtype))
    except LinAlgError:
        return
    raise AssertionError(f"{dtype}: a negative matrix has a Cholesky factor")


def illegal_argument() -> None:
    """LAPACK's XERBLA must raise, as numpy's documentation says, and must not end the process."""
    a = np.array([[1.0]])
    try:
        lapack_lite.dorgqr(1, 1, 1, a, 0, a, a, 0, 0)
    except ValueError as problem:
        assert "DORGQR parameter number 5" in str(problem), problem
        return
    raise AssertionError("an illegal argument was accepted")


def threads() -> None:
    """Many threads at once get what one thread gets, bit by bit."""
    work = [make(dtype, 45, 45) for dtype in DTYPES for _ in range(6)]

    def all_of(a: Any) -> bytes:
        hermitian = a + a.conj().T
        parts = [
            *np.linalg.svd(a), *np.linalg.eig(a), *np.linalg.eigh(hermitian), *np.linalg.qr(a),
            np.linalg.inv(a), *np.linalg.lstsq(a, a, rcond=None), a @ a.T,
        ]  # fmt: skip
        return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)

    alone = [all_of(a) for a in work]
    with ThreadPoolExecutor(8) as pool:
        for together in pool.map(lambda _: [all_of(a) for a in work], range(3)):
            assert together == alone, "threads disturb each other"
        assert list(pool.map(all_of, work * 3)) == alone * 3, "threads disturb each other"


def main() -> None:
    np.seterr(all="ignore")
    for dtype in DTYPES:
        for check in (products, blocks, factorizations, special_values, failures):
            check(dtype)
    if "--openblas" not in sys.argv:
        illegal_argument()
    threads()
    print(f"{len(passed)} comparisons passed")


if __name__ == "__main__":
    main()

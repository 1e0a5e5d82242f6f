// c = a b for row-major c: m × n and any strides of a: m × k and b: k × n.
//
// Tiles of c, ROWS rows and up to VECTORS vectors wide, are summed in registers, over at most DEPTH
// rows of b at a time, copied into the cache. Every element is summed in the same order whatever the
// number of threads.

#include <algorithm>
#include <cstddef>

namespace {

using index = std::ptrdiff_t;
constexpr int BYTES = 64, ROWS = 5, VECTORS = 5;
constexpr index DEPTH = 256;

template <typename real>
struct Matrix {
    real *data;
    index row, column;
    real *at(index i, index j) const { return data + i * row + j * column; }
};

template <typename real>
constexpr int WIDTH = BYTES / sizeof(real);

/* c[i][0 … vectors · WIDTH) (+)= Σ over p < depth of a[i][p] packed[p], one tile */
template <typename real, int vectors>
void tile(index depth, const real *const *a, index step, const real *packed, bool first,
          real *c, index stride)
{
    typedef real vector __attribute__((vector_size(BYTES)));
    typedef real loose __attribute__((vector_size(BYTES), aligned(sizeof(real))));
    vector sum[ROWS][vectors];
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < vectors; j++)
            sum[i][j] = first ? vector{} : *(const loose *)(c + i * stride + j * WIDTH<real>);
    const vector *b = (const vector *)packed;
    for (index p = 0; p < depth; p++, b += vectors) {
        vector row[vectors];
        for (int j = 0; j < vectors; j++)
            row[j] = b[j];
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < vectors; j++)
                sum[i][j] += a[i][p * step] * row[j];
    }
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < vectors; j++)
            *(loose *)(c + i * stride + j * WIDTH<real>) = sum[i][j];
}

/* Columns [j, j + columns) of c in rows [from, to). */
template <typename real, int vectors>
void panel(Matrix<const real> a, Matrix<const real> b, Matrix<real> c, index k, index from, index to,
           index j, index columns)
{
    constexpr index wide = vectors * WIDTH<real>;
    alignas(BYTES) real packed[DEPTH * wide], edge[ROWS * wide];
    for (index p = 0; p == 0 || p < k; p += DEPTH) {
        const index depth = std::min(DEPTH, k - p);
        for (index q = 0; q < depth; q++)
            for (index l = 0; l < wide; l++)
                packed[q * wide + l] = l < columns ? *b.at(p + q, j + l) : 0;
        for (index i = from; i < to; i += ROWS) {
            const index rows = std::min<index>(ROWS, to - i);
            const real *starts[ROWS];
            for (index r = 0; r < ROWS; r++)
                starts[r] = a.at(i + std::min(r, rows - 1), p);
            if (rows == ROWS && columns == wide) {
                tile<real, vectors>(depth, starts, a.column, packed, p == 0, c.at(i, j), c.row);
                continue;
            }
            tile<real, vectors>(depth, starts, a.column, packed, true, edge, wide);
            for (index r = 0; r < rows; r++)
                for (index l = 0; l < columns; l++)
                    *c.at(i + r, j + l) = edge[r * wide + l] + (p == 0 ? 0 : *c.at(i + r, j + l));
        }
    }
}

template <typename real>
void rows(Matrix<const real> a, Matrix<const real> b, Matrix<real> c, index n, index k, index from, index to)
{
    for (index j = 0; j < n;) {
        const index left = (n - j + WIDTH<real> - 1) / WIDTH<real>;
        const index panels = (left + VECTORS - 1) / VECTORS;
        const index vectors = (left + panels - 1) / panels;
        const index columns = std::min(vectors * WIDTH<real>, n - j);
        switch (vectors) {
        case 1: panel<real, 1>(a, b, c, k, from, to, j, columns); break;
        case 2: panel<real, 2>(a, b, c, k, from, to, j, columns); break;
        case 3: panel<real, 3>(a, b, c, k, from, to, j, columns); break;
        case 4: panel<real, 4>(a, b, c, k, from, to, j, columns); break;
        default: panel<real, 5>(a, b, c, k, from, to, j, columns);
        }
        j += columns;
    }
}

template <typename real>
void product(index m, index n, index k, Matrix<const real> a, Matrix<const real> b, real *c, int threads)
{
    const index share = (m + threads * ROWS - 1) / (threads * ROWS) * ROWS;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int t = 0; t < threads; t++)
        rows<real>(a, b, {c, n, 1}, n, k, std::min(m, t * share), std::min(m, (t + 1) * share));
}

}  // namespace

#define EXPORT(name, real)                                                                          \
    extern "C" void name(index m, index n, index k, const real *a, index a_row, index a_column,     \
                         const real *b, index b_row, index b_column, real *c, int threads)          \
    {                                                                                               \
        product<real>(m, n, k, {a, a_row, a_column}, {b, b_row, b_column}, c, threads);             \
    }

EXPORT(product_float64, double)
EXPORT(product_float32, float)

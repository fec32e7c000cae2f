import LanguageDecoder
import Tensors

/// How far rows lie from those of exact products.
struct Drift: Encodable {
    var meanCosine: Double
    var leastCosine: Double
    /// Length of all differences to that of all rows.
    var relativeError: Double

    /// The drift of tensors of rows from others of the same shapes.
    init(of rows: [Tensor], from exact: [Tensor]) {
        var (cosines, difference, length) = ([Double](), 0.0, 0.0)
        for (a, b) in zip(rows, exact) {
            let (x, y, width) = (a.floats, b.floats, a.columns)
            for row in 0..<a.rows {
                var (xy, xx, yy) = (0.0, 0.0, 0.0)
                for index in row * width..<(row + 1) * width {
                    let (p, q) = (Double(x[index]), Double(y[index]))
                    (xy, xx, yy) = (xy + p * q, xx + p * p, yy + q * q)
                    difference += (p - q) * (p - q)
                }
                cosines.append(xy / (xx * yy).squareRoot())
                length += yy
            }
        }
        meanCosine = cosines.reduce(0, +) / Double(cosines.count)
        leastCosine = cosines.min() ?? 1
        relativeError = (difference / length).squareRoot()
    }
}

/// How far logits `[1, V]` lie from those of exact products.
struct LogitDrift: Encodable {
    var cosine: Double
    var relativeError: Double
    var isSameBestToken: Bool

    /// The drift of one token's logits.
    init(of logits: Tensor, from exact: Tensor) {
        let drift = Drift(of: [logits], from: [exact])
        var sampler = Sampler(SamplingOptions())
        (cosine, relativeError) = (drift.meanCosine, drift.relativeError)
        isSameBestToken = sampler.next(logits) == sampler.next(exact)
    }
}

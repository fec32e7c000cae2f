import Foundation

/// Progressive ratio decay (PRD): deeper layers keep fewer visual tokens, along a shifted cosine or line.
///
/// Source: p-MoD (arXiv 2412.04449), section 3.3. The published code divides by 31 whatever the depth of the model, and
/// so does this unless told otherwise: a 12-layer decoder has mixture-of-depths layers 8...11.
public struct ProgressiveRatioDecay: Sendable, Equatable {
    /// The curve along which the ratio falls.
    public enum Curve: String, Sendable {
        case shiftedCosine = "shiftedcos"
        case shiftedLinear = "shiftedlinear"
    }

    /// The curve.
    public var curve: Curve
    /// A layer whose ratio would be above this stays plain.
    public var maximum: Double
    /// No layer keeps less than this.
    public var minimum: Double

    /// A decay along `curve` between the two ratios.
    public init(curve: Curve, maximum: Double, minimum: Double) {
        self.curve = curve
        self.maximum = maximum
        self.minimum = minimum
    }

    /// Reads the spelling `CURVE_decay_MAX_MIN` with decimal fractions; nil for any other.
    public init?(parsing text: String) {
        let parts = text.split(separator: "_", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[1] == "decay", let curve = Curve(rawValue: String(parts[0])),
            let maximum = Double(parts[2]), let minimum = Double(parts[3]), (0...1).contains(maximum),
            (0...1).contains(minimum)
        else { return nil }
        self.init(curve: curve, maximum: maximum, minimum: minimum)
    }

    /// The last layer of the model the published code was written for.
    public static let publishedLastLayer = 31

    /// The curve's value at a layer, before the limits; it is at its end in the last layer.
    public func decay(layer: Int, factor: Double, lastLayer: Int = publishedLastLayer) -> Double {
        let (depth, last) = (Double(layer), Double(max(1, lastLayer)))
        return switch curve {
        case .shiftedCosine: cos(depth * .pi / last) / 2 + factor
        case .shiftedLinear: (-depth / last + 0.5) + factor
        }
    }

    /// The share of visual tokens that a layer processes; nil if the layer is plain.
    public func ratio(layer: Int, factor: Double, lastLayer: Int = publishedLastLayer) -> Double? {
        let value = decay(layer: layer, factor: factor, lastLayer: lastLayer)
        return value <= maximum ? max(value, minimum) : nil
    }
}

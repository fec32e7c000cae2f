import Foundation
public import Tensors

/// How the next token is chosen.
public struct SamplingOptions: Sendable, Equatable {
    /// Divisor of the logits; 0 takes the most probable token.
    public var temperature: Float
    /// Smallest probability mass, in 0...1, of the most probable tokens to draw from; 1 for all.
    public var topP: Float
    /// Number of most probable tokens to draw from; nil for all.
    public var topK: Int?
    /// Start of the random sequence.
    public var seed: UInt64

    /// Options; the defaults are greedy.
    public init(temperature: Float = 0, topP: Float = 1, topK: Int? = nil, seed: UInt64 = 0) {
        self.temperature = temperature
        self.topP = topP
        self.topK = topK
        self.seed = seed
    }
}

/// Chooses tokens from logits. The same options and logits give the same tokens.
public struct Sampler: Sendable {
    private let options: SamplingOptions
    private var state: UInt64

    /// A sampler at the start of its random sequence.
    public init(_ options: SamplingOptions) {
        self.options = options
        state = options.seed
    }

    /// The next token from the last row of logits `[..., V]`.
    ///
    /// Ties go to the lowest id. Top-k is applied before top-p, as in Hugging Face transformers.
    public mutating func next(_ logits: Tensor) -> Int {
        logits.withFloats { all in
            let row = UnsafeBufferPointer(rebasing: all[(all.count - logits.columns)...])
            guard options.temperature > 0 else { return Self.argmax(row) }
            return draw(row)
        }
    }

    private static func argmax(_ values: UnsafeBufferPointer<Float>) -> Int {
        var best = 0
        for (index, value) in values.enumerated() where value > values[best] { best = index }
        return best
    }

    private mutating func draw(_ logits: UnsafeBufferPointer<Float>) -> Int {
        var candidates = Array(logits.indices)
        candidates.sort { logits[$0] != logits[$1] ? logits[$0] > logits[$1] : $0 < $1 }
        if let topK = options.topK { candidates = Array(candidates.prefix(max(1, topK))) }
        let maximum = logits[candidates[0]]
        let weights = candidates.map { exp(Double(logits[$0] - maximum) / Double(options.temperature)) }
        let total = weights.reduce(0, +)

        // The smallest prefix whose mass reaches top-p, and always one token.
        var (kept, mass) = (0, 0.0)
        repeat {
            mass += weights[kept]
            kept += 1
        } while kept < weights.count && mass < Double(options.topP) * total

        var target = uniform() * mass
        for index in 0..<kept {
            target -= weights[index]
            if target < 0 { return candidates[index] }
        }
        return candidates[kept - 1]
    }

    /// A number in 0..<1 from SplitMix64.
    private mutating func uniform() -> Double {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        z ^= z >> 31
        return Double(z >> 11) * 0x1p-53
    }
}

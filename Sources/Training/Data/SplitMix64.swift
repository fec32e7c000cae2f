/// The generator that data sets are drawn from: SplitMix64, with its own way of choosing from ranges.
///
/// The standard library may change how it turns bits into a range; a data set must not change with it. So nothing that
/// decides a picture or a question uses `random(in:)`, `shuffled` or the order of a hash table.
/// Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014).
public struct SplitMix64: Sendable, Equatable {
    /// All there is to the generator; the same state gives the same values.
    public private(set) var state: UInt64

    /// A generator whose values depend on `seed` alone.
    public init(seed: UInt64) { state = seed }

    /// A generator for one item of a series: the values of neighbouring items have nothing in common.
    public init(seed: UInt64, stream: UInt64, index: Int) {
        var mixed = Self.mixed(seed &+ 0x9E37_79B9_7F4A_7C15)
        mixed = Self.mixed(mixed ^ Self.mixed(stream &+ 0xD1B5_4A32_D192_ED03))
        state = Self.mixed(mixed &+ UInt64(bitPattern: Int64(index)) &* 0x9E37_79B9_7F4A_7C15)
    }

    /// The next 64 random bits.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return Self.mixed(state)
    }

    /// A whole number of 0..<`bound`, which must be positive and below 2^32: the high half of a product, biased by at
    /// most `bound` / 2^32.
    public mutating func below(_ bound: Int) -> Int {
        precondition(bound > 0 && bound < 1 << 32, "a choice among \(bound)")
        return Int(((next() >> 32) &* UInt64(bound)) >> 32)
    }

    /// A whole number of a range.
    public mutating func value(in range: ClosedRange<Int>) -> Int { range.lowerBound + below(range.count) }

    /// True in one of two cases.
    public mutating func coin() -> Bool { next() >> 63 == 1 }

    /// One of some elements; nil if there are none.
    public mutating func element<C: RandomAccessCollection>(of elements: C) -> C.Element? {
        elements.isEmpty ? nil : elements[elements.index(elements.startIndex, offsetBy: below(elements.count))]
    }

    /// The elements in random order (Fisher-Yates). O(n).
    public mutating func shuffled<Element>(_ elements: [Element]) -> [Element] {
        var elements = elements
        for index in stride(from: elements.count - 1, to: 0, by: -1) { elements.swapAt(index, below(index + 1)) }
        return elements
    }

    /// The finaliser: every bit of the result depends on every bit of `value`.
    static func mixed(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// The order in which an epoch takes the examples of a data set; a run resumes at any position of it.
public struct ExampleOrder: Sendable {
    private let indices: [Int32]

    /// The order of one epoch, decided by seed and epoch alone. O(count).
    public init(count: Int, seed: UInt64, epoch: Int) {
        precondition(count >= 0 && count <= Int(Int32.max), "\(count) examples")
        var random = SplitMix64(seed: seed, stream: 0x0DE6, index: epoch)
        indices = random.shuffled((0..<Int32(count)).map { $0 })
    }

    /// The number of examples.
    public var count: Int { indices.count }

    /// The index in the data set of the example at a position of the epoch.
    public subscript(position: Int) -> Int { Int(indices[position]) }
}

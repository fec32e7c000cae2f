public import Tensors

/// The keys and values of one layer for the tokens it has processed, `[tokens, keyValueHeads · d]` each.
public final class LayerKeyValues {
    let keys: RowBuffer
    let values: RowBuffer

    init(columns: Int, capacity: Int) {
        keys = RowBuffer(columns: columns, capacity: capacity)
        values = RowBuffer(columns: columns, capacity: capacity)
    }

    /// Tokens this layer holds; layers that skip tokens hold fewer.
    public var count: Int { keys.count }

    /// A copy of the rotated keys, `[tokens, keyValueHeads · d]`.
    public var keyTensor: Tensor { keys.tensor }
    /// A copy of the values, `[tokens, keyValueHeads · d]`.
    public var valueTensor: Tensor { values.tensor }

    func append(keys newKeys: Tensor, values newValues: Tensor) {
        keys.append(newKeys)
        values.append(newValues)
    }
}

/// The keys and values of all layers, with a length of its own for each.
///
/// A cache belongs to one generation: it cannot be copied. Positions count every token of the sequence, whether or not
/// a layer kept it.
public struct KVCache: ~Copyable {
    /// One entry a layer.
    public let layers: [LayerKeyValues]
    /// Position of the next token: how many tokens the sequence has so far.
    public private(set) var nextPosition = 0

    /// An empty cache for a decoder.
    /// - Parameter capacity: tokens to make room for at once; the cache grows beyond it when it must.
    public init(_ config: LlamaConfig, capacity: Int = 0) {
        let columns = config.numKeyValueHeads * config.headSize
        layers = (0..<config.numHiddenLayers).map { _ in LayerKeyValues(columns: columns, capacity: capacity) }
    }

    /// Takes the positions of `count` new tokens.
    public mutating func advance(by count: Int) -> Range<Int> {
        defer { nextPosition += count }
        return nextPosition..<nextPosition + count
    }

    /// How much of a sequence a cache holds: a place that it can be cut back to.
    public struct Extent: Sendable, Equatable {
        /// Position of the next token.
        public let nextPosition: Int
        /// Tokens that each layer holds.
        public let counts: [Int]
    }

    /// What the cache holds now.
    public var extent: Extent { Extent(nextPosition: nextPosition, counts: layers.map(\.count)) }

    /// Forgets all tokens that came after an earlier `extent` of this sequence.
    public mutating func truncate(to extent: Extent) {
        precondition(extent.counts.count == layers.count && extent.nextPosition <= nextPosition)
        for (layer, count) in zip(layers, extent.counts) {
            layer.keys.truncate(to: count)
            layer.values.truncate(to: count)
        }
        nextPosition = extent.nextPosition
    }

    /// Forgets all tokens from a position on, in a cache whose layers all hold every token.
    public mutating func truncate(toPosition position: Int) {
        precondition(
            layers.allSatisfy { $0.count == nextPosition }, "layers that skipped tokens cannot be cut by position")
        truncate(to: Extent(nextPosition: position, counts: layers.map { _ in position }))
    }

    /// Keys of all layers together; a layer that skips tokens holds fewer.
    public var entryCount: Int { layers.reduce(0) { $0 + $1.count } }

    /// Bytes of the keys and values in use.
    public var usedBytes: Int { bytes { $0.count } }
    /// Bytes of the keys and values that memory is allocated for.
    public var allocatedBytes: Int { bytes { $0.capacity } }

    private func bytes(_ rows: (RowBuffer) -> Int) -> Int {
        layers.reduce(0) { $0 + (rows($1.keys) * $1.keys.columns + rows($1.values) * $1.values.columns) * 4 }
    }
}
